using SailVit.Kernels;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>LayerScale and residual add over the encoder's rows.</summary>
internal sealed class LayerScaleBench : IOpBench
{
    private const int Rows = 1024, Width = 1024;

    public IEnumerable<BenchCase> Cases() => Inputs.ElementwiseDTypes.SelectMany(dtype => new OpBench
    {
        Op = "layer_scale_add",
        Shape = $"{Rows}x{Width}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, Rows, Width), Inputs.Normal(dtype, Rows, Width), Inputs.Gain(dtype, Width)],
        Ours = t => [functional.layer_scale_add(t[0], t[1], t[2])],
        Stock = t => [t[0] + t[2] * t[1]],
        Baseline = "mul, add",
        Forward = Work.Elements(dtype, reads: 2, writes: 1, Rows, Width),
        Backward = Work.Elements(dtype, reads: 2, writes: 1, Rows, Width),
    }.Cases());
}
