using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Sizes, scales and callers that nobody means to be fast, but that must be right.</summary>
public class AttentionHostileTests
{
    [Fact]
    public void NothingInTheBatch()
    {
        using var scope = NewDisposeScope();
        foreach (var (batch, queries, keys, heads) in ((long, long, long, long)[])[(0, 5, 5, 2), (2, 0, 5, 2), (2, 5, 0, 2), (2, 0, 0, 2), (2, 5, 5, 0)])
        {
            var q = randn(batch, queries, heads, 8).requires_grad_();
            var k = randn(batch, keys, heads, 8).requires_grad_();
            var bias = randn(1, 1, queries, keys).requires_grad_();
            var (output, lse) = functional.attention_with_lse(q, k, k, bias, is_causal: true);
            output.sum().backward();
            Assert.Equal([batch, queries, heads, 8], output.shape);
            Assert.Equal([batch, heads, queries], lse.shape);
            Assert.All((Tensor[])[output, q.grad!, k.grad!, bias.grad!], t => Assert.True(t.eq(0).all().item<bool>()));
        }
        var none = zeros(0, 2, 8);
        Assert.Equal([0L, 2, 8], functional.attention_varlen(none, none, none, tensor(new long[] { 0 }), tensor(new long[] { 0 })).shape);
        Assert.Equal([0L, 2, 8], functional.attention_varlen(none, none, none, tensor(new long[] { 0, 0, 0 }), tensor(new long[] { 0, 0, 0 })).shape);
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(1e-36)]
    [InlineData(-1e-33)]
    [InlineData(-3.0)]
    public void Scale_OfAnySize_WithEveryKindOfMask(double scale)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(11);
        foreach (var mask in (Tensor?[])[null, rand([17, 17], generator: g) > 0.3, randn([17, 17], generator: g)])
        {
            OpCheck.Run(new AttentionCase { Scale = scale, Mask = mask, Causal = true }.WithLse() with { Name = $"scale {scale}" });
        }
    }

    [Fact]
    public void ThousandHeads_AndOneChannel()
    {
        using var scope = NewDisposeScope();
        OpCheck.Run(new AttentionCase { Heads = 1000, KvHeads = 500, Width = 1, Queries = 3, Keys = 5 }.WithLse());
        OpCheck.Run(new AttentionCase { Heads = 1, KvHeads = 1, Width = 1024, Queries = 3, Keys = 5 }.WithLse());
    }

    [Fact]
    public void BiasThatAllKeysShare_MovesOnlyTheLogSumExp()
    {
        using var scope = NewDisposeScope();
        var c = new AttentionCase { Queries = 50, Keys = 400, Mask = randn(50, 1) };
        var leaves = Array.ConvertAll(c.Inputs(), t => t!.detach().requires_grad_());
        var (output, lse) = functional.attention_with_lse(leaves[0], leaves[1], leaves[2], leaves[3]);
        output.pow(2).sum().backward(retain_graph: true);
        Assert.True(leaves[3].grad!.eq(0).all().item<bool>());
        lse.sum().backward();
        Assert.True(leaves[3].grad!.eq(c.Batch * c.Heads).all().item<bool>());
    }

    [Fact]
    public void QueryThatAttendsToNothing_HasNoPartInGradientsOfKeysAndValues()
    {
        using var scope = NewDisposeScope();
        var c = new AttentionCase { Queries = 6, Keys = 7, Mask = arange(6).ne(4).unsqueeze(-1) };
        var leaves = Array.ConvertAll(c.Inputs()[..3], t => t!.detach().requires_grad_());
        var gradient = randn(2, 6, 2, 16);
        gradient.select(1, 4).fill_(double.NaN);
        functional.attention(leaves[0], leaves[1], leaves[2], c.Mask).backward([gradient]);
        Assert.All(leaves, leaf => Assert.True(leaf.grad!.isfinite().all().item<bool>()));
        Assert.True(leaves[0].grad!.select(1, 4).eq(0).all().item<bool>());
    }

    [Fact]
    public void ManyThreadsAtOnce_ComputeTheSameBits()
    {
        using var scope = NewDisposeScope();
        var inputs = Enumerable.Range(0, 4).Select(i => randn([1, 100 + (60 * i), 3, 2, 24])).ToArray();
        var expected = Array.ConvertAll(inputs, Gradient);
        var differences = new string?[32];
        var backend = Dispatcher.Choice;
        Parallel.For(0, differences.Length, i =>
        {
            // The choice is a thread's.
            using var use = Dispatcher.Use(backend);
            differences[i] = Bits.FirstDifference(expected[i % 4], Gradient(inputs[i % 4]));
        });
        Assert.All(differences, Assert.Null);
    }

    private static Tensor Gradient(Tensor qkv)
    {
        using var scope = NewDisposeScope();
        var leaf = qkv.detach().requires_grad_();
        functional.attention_qkvpacked(leaf, is_causal: true).pow(2).sum().backward();
        return leaf.grad!.MoveToOuterDisposeScope();
    }

    [Fact]
    public void Offsets_OfTheWrongDTypeOrPastTheEnd()
    {
        using var scope = NewDisposeScope();
        var x = randn(10, 2, 8);
        var good = tensor(new long[] { 0, 4, 10 });
        foreach (var bad in (Tensor[])[tensor(new long[] { 0, 4, 11 }), tensor(new long[] { 0, -4, 10 }), tensor(new long[] { 0, long.MaxValue, 10 }), good.to(int16), tensor(new long[] { 10 })])
        {
            Assert.ThrowsAny<ArgumentException>(() => functional.attention_varlen(x, x, x, bad, good));
            Assert.ThrowsAny<ArgumentException>(() => functional.attention_varlen(x, x, x, good, bad));
        }
        var spaced = tensor(new long[] { 0, 7, 4, 7, 10, 7 }).view(3, 2).select(1, 0);
        Assert.Null(Bits.FirstDifference(functional.attention_varlen(x, x, x, good, good), functional.attention_varlen(x, x, x, spaced, spaced)));
    }
}
