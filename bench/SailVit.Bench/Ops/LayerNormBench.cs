using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>LayerNorm over the encoder's rows.</summary>
internal sealed class LayerNormBench : IOpBench
{
    private const double Eps = 1e-6;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => new OpBench
    {
        Op = "layer_norm",
        Shape = "1024x1024",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, 1024, 1024), Inputs.Gain(dtype, 1024), Inputs.Normal(dtype, 1024)],
        Ours = t => [functional.layer_norm(t[0], [1024], t[1], t[2], Eps)],
        Stock = t => [nn.functional.layer_norm(t[0], [1024], t[1], t[2], Eps)],
        Baseline = "layer_norm",
        Forward = Work.Elements(dtype, reads: 1, writes: 1, 1024, 1024),
        Backward = Work.Elements(dtype, reads: 2, writes: 1, 1024, 1024),
    }.Cases());
}
