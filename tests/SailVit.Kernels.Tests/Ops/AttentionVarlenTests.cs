using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public class AttentionVarlenTests
{
    /// <summary>Sequences behind each other against the composition on each of them.</summary>
    internal static OpCase Case(AttentionCase c, long[] queries, long[] keys)
    {
        using var g = new Generator((ulong)c.Seed);
        var offsetsQ = tensor(queries, dtype: c.Seed % 2 == 0 ? int32 : int64);
        var offsetsK = tensor(keys, dtype: c.Seed % 2 == 0 ? int32 : int64);
        return new()
        {
            Name = $"varlen [{string.Join(", ", queries)}] [{string.Join(", ", keys)}] {c}",
            Inputs =
            [
                c.Layout(c.Values([queries[^1], c.Heads, c.Width], g).to(c.DType)),
                c.Layout(c.Values([keys[^1], c.KvHeads, c.Width], g).to(c.DType)),
                c.Layout(c.Values([keys[^1], c.KvHeads, c.Width], g).to(c.DType)),
            ],
            Ours = t => AttentionCase.Both(functional.attention_varlen_with_lse(t[0], t[1], t[2], offsetsQ, offsetsK, c.Causal, c.Scale)),
            Stock = t => Stock(c, t, queries, keys),
            OutputTolerance = new Dictionary<int, Tolerance> { [1] = new() { Absolute = 1e-4 } },
            Seed = c.Seed,
        };
    }

    private static Tensor[] Stock(AttentionCase c, Tensor[] t, long[] queries, long[] keys)
    {
        var results = Enumerable.Range(0, queries.Length - 1).Select(b => c.Stock(
        [
            t[0].narrow(0, queries[b], queries[b + 1] - queries[b]).unsqueeze(0),
            t[1].narrow(0, keys[b], keys[b + 1] - keys[b]).unsqueeze(0),
            t[2].narrow(0, keys[b], keys[b + 1] - keys[b]).unsqueeze(0),
            null!,
        ])).ToArray();
        return [cat(results.Select(r => r[0].squeeze(0)).ToArray(), 0), cat(results.Select(r => r[1].squeeze(0)).ToArray(), -1)];
    }

    [Fact]
    public void MatchesReference()
    {
        using var scope = NewDisposeScope();
        foreach (var dtype in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16])
        {
            foreach (bool causal in (bool[])[false, true])
            {
                var c = new AttentionCase { DType = dtype, Causal = causal, Heads = 4, Width = 24 };
                OpCheck.Run(Case(c, [0, 17, 18, 146], [0, 33, 50, 178]));
                OpCheck.Run(Case(c with { Seed = 2 }, [0, 196, 453], [0, 196, 453]));
                OpCheck.Run(Case(c, [0, 0, 20, 20], [0, 5, 10, 10]));
                OpCheck.Run(Case(c, [0, 3, 40, 41], [0, 0, 35, 35]));
            }
        }
    }

    [Fact]
    public void EqualsDensePerSequence_ToTheBit()
    {
        using var scope = NewDisposeScope();
        long[] offsets = [0, 65, 66, 256];
        var (q, k, v) = (randn(256, 3, 40), randn(256, 3, 40), randn(256, 3, 40));
        var together = functional.attention_varlen(q, k, v, tensor(offsets), tensor(offsets));
        for (int b = 0; b + 1 < offsets.Length; b++)
        {
            Tensor Part(Tensor t) => t.narrow(0, offsets[b], offsets[b + 1] - offsets[b]);
            var alone = functional.attention(Part(q).unsqueeze(0), Part(k).unsqueeze(0), Part(v).unsqueeze(0)).squeeze(0);
            Assert.Null(Bits.FirstDifference(Part(together).contiguous(), alone));
        }
    }

    [Fact]
    public void OffsetsAreChecked()
    {
        using var scope = NewDisposeScope();
        var x = randn(10, 2, 8);
        void Throws(string text, Tensor cuQ, Tensor cuK) =>
            Assert.Contains(text, Assert.Throws<ArgumentException>(() => functional.attention_varlen(x, x, x, cuQ, cuK)).Message, StringComparison.Ordinal);
        var good = tensor(new long[] { 0, 4, 10 });
        Throws("must begin with 0 and end with the number of rows, 10", tensor(new long[] { 0, 4, 9 }), good);
        Throws("must begin with 0", tensor(new long[] { 1, 4, 10 }), good);
        Throws("falls from 7 to 4", good, tensor(new long[] { 0, 7, 4, 10 }));
        Throws("has 2 entries", good, tensor(new long[] { 0, 10 }));
        Throws("must be Int32 or Int64", good.to(float32), good);
        Throws("must have 1 dimensions", good.unsqueeze(0), good);
        Throws("must begin with 0", zeros(0, dtype: int64), good);
    }
}
