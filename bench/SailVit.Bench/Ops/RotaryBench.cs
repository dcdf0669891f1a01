using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>Rotary positions of the queries of a 1.7B language model.</summary>
internal sealed class RotaryBench : IOpBench
{
    private const int Tokens = 1024, Heads = 16, Width = 128;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => new OpBench
    {
        Op = "rotary_embedding",
        Shape = $"{Tokens}x{Heads}x{Width}",
        DType = dtype,
        Inputs = () =>
        {
            var angle = outer(arange(Tokens, dtype: float32), pow(1e6, arange(Width / 2, dtype: float32) * (-2.0 / Width)));
            return [Inputs.Normal(dtype, Tokens, Heads, Width), angle.cos(), angle.sin(), arange(Tokens, dtype: int64)];
        },
        Differentiable = [true, false, false, false],
        Ours = t => [functional.rotary_embedding(t[0], t[1], t[2], t[3])],
        Stock = t => [Stock(t[0], t[1], t[2], t[3])],
        Baseline = "index_select, chunk, mul, add, cat",
        Forward = Work.Elements(dtype, reads: 1, writes: 1, Tokens, Heads * Width),
        Backward = Work.Elements(dtype, reads: 1, writes: 1, Tokens, Heads * Width),
    }.Cases());

    // As transformers has it: x · cos + rotate_half(x) · sin, tables in the dtype of x.
    private static Tensor Stock(Tensor x, Tensor cos, Tensor sin, Tensor positions)
    {
        var c = cos.index_select(0, positions).repeat(1, 2).unsqueeze(1).to(x.dtype);
        var s = sin.index_select(0, positions).repeat(1, 2).unsqueeze(1).to(x.dtype);
        var halves = x.chunk(2, -1);
        return (x * c) + (cat([-halves[1], halves[0]], -1) * s);
    }
}
