using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>SwiGLU at the encoder's hidden width.</summary>
internal sealed class SwiGluBench : IOpBench
{
    private const int Rows = 1024, Width = 2816;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => new OpBench
    {
        Op = "swiglu",
        Shape = $"{Rows}x{Width}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, Rows, Width), Inputs.Normal(dtype, Rows, Width)],
        Ours = t => [functional.swiglu(t[0], t[1])],
        Stock = t => [nn.functional.silu(t[0]) * t[1]],
        Baseline = "silu, mul",
        Forward = Work.Elements(dtype, reads: 2, writes: 1, Rows, Width),
        Backward = Work.Elements(dtype, reads: 3, writes: 2, Rows, Width),
    }.Cases());
}
