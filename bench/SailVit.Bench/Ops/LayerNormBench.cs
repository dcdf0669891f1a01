using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>LayerNorm over the encoder's rows, alone and with the residual add.</summary>
internal sealed class LayerNormBench : IOpBench
{
    private const double Eps = 1e-6;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => Norm(dtype).Cases().Concat(AddNorm(dtype).Cases()));

    private static OpBench Norm(ScalarType dtype) => new()
    {
        Op = "layer_norm",
        Shape = "1024x1024",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, 1024, 1024), Inputs.Gain(dtype, 1024), Inputs.Normal(dtype, 1024)],
        Ours = t => [functional.layer_norm(t[0], [1024], t[1], t[2], Eps)],
        Stock = t => [Stock(t[0], t[1], t[2])],
        Baseline = "layer_norm",
        Forward = Work.Elements(dtype, reads: 1, writes: 1, 1024, 1024),
        Backward = Work.Elements(dtype, reads: 2, writes: 1, 1024, 1024),
    };

    private static OpBench AddNorm(ScalarType dtype) => new()
    {
        Op = "add_layer_norm",
        Shape = "1024x1024",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, 1024, 1024), Inputs.Normal(dtype, 1024, 1024), Inputs.Gain(dtype, 1024), Inputs.Normal(dtype, 1024)],
        Ours = t =>
        {
            var (output, residual) = functional.add_layer_norm(t[0], t[1], [1024], t[2], t[3], Eps);
            return [output, residual];
        },
        Stock = t =>
        {
            var sum = t[0] + t[1];
            return [Stock(sum, t[2], t[3]), sum];
        },
        Baseline = "add, layer_norm",
        Forward = Work.Elements(dtype, reads: 2, writes: 2, 1024, 1024),
        // The sum and both gradients read; one gradient serves both inputs.
        Backward = Work.Elements(dtype, reads: 3, writes: 1, 1024, 1024),
    };

    private static Tensor Stock(Tensor x, Tensor weight, Tensor bias) => nn.functional.layer_norm(x, [1024], weight, bias, Eps);
}
