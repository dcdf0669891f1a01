using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>The encoder's products over its 1,024 tokens, plain and with what is fused into them.</summary>
internal sealed class LinearBench : IOpBench
{
    private const int M = 1024, C = 1024, F = 2816;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => (IEnumerable<BenchCase>)
    [
        .. Plain(dtype, C, 3 * C),
        .. Plain(dtype, C, C),
        .. Plain(dtype, F, C),
        .. Residual(dtype, F, C),
        .. Gelu(dtype, C, 4 * C),
        .. SwiGlu(dtype),
    ]);

    private static IEnumerable<BenchCase> Plain(ScalarType dtype, int k, int n) => new OpBench
    {
        Op = "linear",
        Shape = $"{M}x{k}->{n}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, M, k), Inputs.Weight(dtype, n, k)],
        Ours = t => [functional.linear(t[0], t[1])],
        OursPrepared = t =>
        {
            var packed = new PackedWeight(t[1]);
            return () => [functional.linear(t[0], packed)];
        },
        Stock = t => [nn.functional.linear(t[0], t[1])],
        Baseline = "linear",
        Forward = Work.MatrixProduct(dtype, M, n, k),
        Backward = 2 * Work.MatrixProduct(dtype, M, n, k),
    }.Cases();

    private static IEnumerable<BenchCase> Residual(ScalarType dtype, int k, int n) => new OpBench
    {
        Op = "linear + residual",
        Shape = $"{M}x{k}->{n}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, M, k), Inputs.Weight(dtype, n, k), Inputs.Normal(dtype, n), Inputs.Normal(dtype, M, n)],
        Ours = t => [functional.linear(t[0], t[1], t[2], Activation.None, t[3])],
        OursPrepared = t =>
        {
            var packed = new PackedWeight(t[1]);
            return () => [functional.linear(t[0], packed, t[2], Activation.None, t[3])];
        },
        Stock = t => [t[3] + nn.functional.linear(t[0], t[1], t[2])],
        Baseline = "linear, add",
        Forward = Work.MatrixProduct(dtype, M, n, k) + Work.Elements(dtype, 1, 0, M, n),
        Backward = 2 * Work.MatrixProduct(dtype, M, n, k) + Work.Elements(dtype, 1, 1, M, n),
    }.Cases();

    private static IEnumerable<BenchCase> Gelu(ScalarType dtype, int k, int n) => new OpBench
    {
        Op = "linear + gelu",
        Shape = $"{M}x{k}->{n}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, M, k), Inputs.Weight(dtype, n, k), Inputs.Normal(dtype, n)],
        Ours = t => [functional.linear(t[0], t[1], t[2], Activation.Gelu)],
        OursPrepared = t =>
        {
            var packed = new PackedWeight(t[1]);
            return () => [functional.linear(t[0], packed, t[2], Activation.Gelu)];
        },
        Stock = t => [nn.functional.gelu(nn.functional.linear(t[0], t[1], t[2]))],
        Baseline = "linear, gelu",
        Forward = Work.MatrixProduct(dtype, M, n, k),
        Backward = 2 * Work.MatrixProduct(dtype, M, n, k) + Work.Elements(dtype, 1, 1, M, n),
    }.Cases();

    private static IEnumerable<BenchCase> SwiGlu(ScalarType dtype) => new OpBench
    {
        Op = "linear_swiglu",
        Shape = $"{M}x{C}->2x{F}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, M, C), Inputs.Weight(dtype, F, C), Inputs.Weight(dtype, F, C)],
        Ours = t => [functional.linear_swiglu(t[0], t[1], t[2])],
        OursPrepared = t =>
        {
            var packed = new PackedWeight(t[1], t[2]);
            return () => [functional.linear_swiglu(t[0], packed)];
        },
        Stock = t => [nn.functional.silu(nn.functional.linear(t[0], t[1])) * nn.functional.linear(t[0], t[2])],
        Baseline = "2 linear, silu, mul",
        Forward = Work.MatrixProduct(dtype, M, 2 * F, C),
        Backward = 2 * Work.MatrixProduct(dtype, M, 2 * F, C) + Work.Elements(dtype, 3, 2, M, F),
    }.Cases();
}
