using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>Self-attention over one image's tokens, from the packed qkv of the projection to what the output projection reads,
/// and by the signature of TorchSharp's own function.</summary>
internal sealed class AttentionBench : IOpBench
{
    private static readonly (int Heads, int Dim, int Tokens)[] Sizes = [(8, 128, 1024), (16, 64, 1024), (16, 64, 1025), (12, 64, 197)];

    public IEnumerable<BenchCase> Cases() =>
        from size in Sizes
        from dtype in Inputs.DTypes
        from c in (IEnumerable<BenchCase>)[.. Packed(dtype, size.Heads, size.Dim, size.Tokens), .. Separate(dtype, size.Heads, size.Dim, size.Tokens)]
        select c;

    private static IEnumerable<BenchCase> Packed(ScalarType dtype, int heads, int dim, int tokens) => new OpBench
    {
        Op = "attention_qkvpacked",
        Shape = $"{heads}x{dim} N{tokens}",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, 1, tokens, 3, heads, dim)],
        Ours = t => [functional.attention_qkvpacked(t[0])],
        Stock = t => [StockPacked(t[0])],
        Baseline = "permute, scaled_dot_product_attention, transpose",
        Forward = Forward(dtype, heads, dim, tokens),
        Backward = Backward(dtype, heads, dim, tokens),
    }.Cases();

    private static IEnumerable<BenchCase> Separate(ScalarType dtype, int heads, int dim, int tokens) => new OpBench
    {
        Op = "scaled_dot_product_attention",
        Shape = $"{heads}x{dim} N{tokens}",
        DType = dtype,
        Inputs = () => [.. Enumerable.Range(0, 3).Select(_ => Inputs.Normal(dtype, 1, heads, tokens, dim))],
        Ours = t => [functional.scaled_dot_product_attention(t[0], t[1], t[2])],
        Stock = t => [nn.functional.scaled_dot_product_attention(t[0], t[1], t[2])],
        Baseline = "scaled_dot_product_attention",
        Forward = Forward(dtype, heads, dim, tokens),
        Backward = Backward(dtype, heads, dim, tokens),
    }.Cases();

    // [B, N, 3, H, D] → [B, N, C]: what a model's author writes, the copy that the next linear needs included.
    private static Tensor StockPacked(Tensor qkv)
    {
        var parts = qkv.permute(2, 0, 3, 1, 4).unbind(0);
        return nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2]).transpose(1, 2).contiguous();
    }

    // Two products forward, five backward (scores again, dV, dP, dQ, dK).
    private static Work Forward(ScalarType dtype, int heads, int dim, int tokens) =>
        new(4.0 * heads * tokens * tokens * dim, Work.Elements(dtype, 3, 1, heads, tokens, dim).Bytes);

    private static Work Backward(ScalarType dtype, int heads, int dim, int tokens) =>
        new(10.0 * heads * tokens * tokens * dim, Work.Elements(dtype, 5, 3, heads, tokens, dim).Bytes);
}
