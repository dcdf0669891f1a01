using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>GELU (erf) and SiLU at the encoder's hidden width.</summary>
internal sealed class GeluBench : IOpBench
{
    private const int Rows = 1024, Width = 4096;

    public IEnumerable<BenchCase> Cases() =>
        Activation("gelu", t => functional.gelu(t), t => nn.functional.gelu(t))
            .Concat(Activation("silu", t => functional.silu(t), t => nn.functional.silu(t)));

    private static IEnumerable<BenchCase> Activation(string op, Func<Tensor, Tensor> ours, Func<Tensor, Tensor> stock) => Inputs.DTypes.SelectMany(dtype => new OpBench
    {
        Op = op,
        Shape = $"{Rows}x{Width}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, Rows, Width)],
        Ours = t => [ours(t[0])],
        Stock = t => [stock(t[0])],
        Baseline = op,
        Forward = Work.Elements(dtype, reads: 1, writes: 1, Rows, Width),
        Backward = Work.Elements(dtype, reads: 2, writes: 1, Rows, Width),
    }.Cases());
}
