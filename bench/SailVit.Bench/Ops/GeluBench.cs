using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using Approximate = TorchSharp.Modules.GELU.Approximate;

namespace SailVit.Bench.Ops;

/// <summary>GELU (erf, tanh) and SiLU at the encoder's hidden width.</summary>
internal sealed class GeluBench : IOpBench
{
    private const int Rows = 1024, Width = 4096;

    public IEnumerable<BenchCase> Cases() =>
        Activation("gelu", t => functional.gelu(t), t => nn.functional.gelu(t))
            .Concat(Activation("gelu tanh", t => functional.gelu(t, Approximate.tanh), t => nn.functional.gelu(t, Approximate.tanh)))
            .Concat(Activation("silu", t => functional.silu(t), t => nn.functional.silu(t)));

    private static IEnumerable<BenchCase> Activation(string op, Func<Tensor, Tensor> ours, Func<Tensor, Tensor> stock) => Inputs.ElementwiseDTypes.SelectMany(dtype => new OpBench
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
