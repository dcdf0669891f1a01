using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>SwiGLU at the encoder's hidden width, on two tensors and on the halves of one.</summary>
internal sealed class SwiGluBench : IOpBench
{
    private const int Rows = 1024, Width = 2816;

    public IEnumerable<BenchCase> Cases() => Inputs.ElementwiseDTypes.SelectMany(dtype => (IEnumerable<BenchCase>)[.. Separate(dtype), .. Packed(dtype)]);

    private static IEnumerable<BenchCase> Separate(ScalarType dtype) => new OpBench
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
    }.Cases();

    private static IEnumerable<BenchCase> Packed(ScalarType dtype) => new OpBench
    {
        Op = "swiglu packed",
        Shape = $"{Rows}x2x{Width}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, Rows, 2 * Width)],
        Ours = t => [functional.swiglu(t[0])],
        Stock = t =>
        {
            var halves = t[0].chunk(2, -1);
            return [nn.functional.silu(halves[0]) * halves[1]];
        },
        Baseline = "chunk, silu, mul",
        Forward = Work.Elements(dtype, reads: 2, writes: 1, Rows, Width),
        Backward = Work.Elements(dtype, reads: 3, writes: 2, Rows, Width),
    }.Cases();
}
