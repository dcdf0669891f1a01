using SailVit.Kernels.Modules;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Modules;

public sealed class MultiheadAttentionTests
{
    private const int Width = 24;
    private const int Heads = 3;

    // Torch's module and ours with its state, loaded by name.
    private static (TorchSharp.Modules.MultiheadAttention Stock, MultiheadAttention Ours) Pair(bool bias = true, bool batchFirst = false)
    {
        manual_seed(1);
        var stock = nn.MultiheadAttention(Width, Heads, bias: bias);
        foreach (var (_, parameter) in stock.named_parameters())
        {
            nn.init.normal_(parameter, 0, 0.3);
        }
        var ours = new MultiheadAttention(Width, Heads, bias, batchFirst);
        ours.load_state_dict(stock.state_dict());
        return (stock, ours);
    }

    private static void Close(Tensor expected, Tensor actual) =>
        Assert.True(expected.allclose(actual, 1e-4, 1e-5), $"{(expected - actual).abs().max().item<float>()} apart");

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void StateAndSelfAttention_AreTorchs(bool bias)
    {
        using var scope = NewDisposeScope();
        var (stock, ours) = Pair(bias);
        Assert.Equal(stock.state_dict().Keys.Order(), ours.state_dict().Keys.Order());
        var x = randn(7, 2, Width).requires_grad_();
        var y = x.detach().requires_grad_();
        var expected = stock.call(x, x, x, null, false, null).Item1;
        var actual = ours.call(y, y, y);
        Close(expected, actual);
        var g = randn_like(expected);
        expected.backward([g]);
        actual.backward([g]);
        Close(x.grad!, y.grad!);
        foreach (var ((name, p), (_, q)) in stock.named_parameters().OrderBy(p => p.name).Zip(ours.named_parameters().OrderBy(p => p.name)))
        {
            Assert.True(p.grad!.allclose(q.grad!, 1e-4, 1e-4), name);
        }
    }

    [Fact]
    public void CrossAttention_WithMasks_IsTorchs()
    {
        using var scope = NewDisposeScope();
        var (stock, ours) = Pair();
        var (q, k, v) = (randn(5, 2, Width), randn(9, 2, Width), randn(9, 2, Width));
        var padding = zeros(2, 9, dtype: ScalarType.Bool);
        padding[1, TensorIndex.Slice(6, 9)] = true;
        var pairs = rand(5, 9) > 0.8;
        var additive = randn(5, 9);
        foreach (var (keys, mask) in ((Tensor?, Tensor?)[])[(null, null), (padding, null), (null, pairs), (padding, pairs), (null, additive)])
        {
            // libtorch's own module adds a boolean mask as 0 and 1, which PyTorch's documentation does not mean.
            var added = mask is { dtype: ScalarType.Bool } ? zeros(mask.shape).masked_fill(mask, double.NegativeInfinity) : mask;
            Close(stock.call(q, k, v, keys, false, added).Item1, ours.forward(q, k, v, keys, mask));
        }
        var both = ours.forward(q, k, v, padding, additive);
        Close(ours.forward(q, k, v, null, additive.masked_fill(padding.unsqueeze(1), double.NegativeInfinity).repeat_interleave(Heads, 0)), both);
    }

    [Fact]
    public void MaskPerSampleAndHead_IsSamplesThenHeads()
    {
        using var scope = NewDisposeScope();
        var (_, ours) = Pair();
        var (q, k) = (randn(5, 2, Width), randn(9, 2, Width));
        var mask = rand(2 * Heads, 5, 9) > 0.8;
        var together = ours.forward(q, k, k, null, mask);
        for (int b = 0; b < 2; b++)
        {
            var (alone, keys) = (q.narrow(1, b, 1), k.narrow(1, b, 1));
            Close(ours.forward(alone, keys, keys, null, mask.narrow(0, b * Heads, Heads)), together.narrow(1, b, 1));
        }
    }

    [Fact]
    public void BatchFirst_IsTheSameTransposed()
    {
        using var scope = NewDisposeScope();
        var (_, first) = Pair(batchFirst: true);
        var (_, second) = Pair();
        var x = randn(2, 7, Width);
        var t = x.transpose(0, 1);
        Close(second.call(t, t, t).transpose(0, 1), first.call(x, x, x));
    }

    [Fact]
    public void Causal_HidesLaterKeys()
    {
        using var scope = NewDisposeScope();
        var (_, ours) = Pair();
        var x = randn(7, 2, Width);
        Close(ours.forward(x, x, x, null, ones(7, 7, dtype: ScalarType.Bool).triu(1)), ours.forward(x, x, x, null, is_causal: true));
    }

    [Fact]
    public void ConvertsToAnotherDType()
    {
        using var scope = NewDisposeScope();
        var (_, ours) = Pair();
        ours.to(bfloat16);
        var x = randn([7, 2, Width]).to(bfloat16);
        Assert.Equal(ScalarType.BFloat16, ours.call(x, x, x).dtype);
    }

    [Fact]
    public void BadArguments()
    {
        using var scope = NewDisposeScope();
        Assert.Contains("divide embed_dim 10", Assert.Throws<ArgumentException>(() => new MultiheadAttention(10, 3)).Message, StringComparison.Ordinal);
        var (_, ours) = Pair();
        var wrong = randn(7, 2, 8);
        Assert.Contains("has 8 channels", Assert.Throws<ArgumentException>(() => ours.call(wrong, wrong, wrong)).Message, StringComparison.Ordinal);
        Assert.Contains("[N, B, C]", Assert.Throws<ArgumentException>(() => ours.call(wrong[0], wrong, wrong)).Message, StringComparison.Ordinal);
        var x = randn(7, 2, Width);
        Assert.Contains("key_padding_mask has shape [7, 2]; it must be [2, 7]", Assert.Throws<ArgumentException>(() => ours.forward(x, x, x, zeros(7, 2, dtype: ScalarType.Bool))).Message, StringComparison.Ordinal);
        Assert.Contains("key_padding_mask is [2, 7] Bool on meta", Assert.ThrowsAny<ArgumentException>(() => ours.forward(x, x, x, zeros(2, 7, dtype: ScalarType.Bool, device: META))).Message, StringComparison.Ordinal);
        Assert.Contains("attn_mask has shape [3, 7, 7]; it must be", Assert.Throws<ArgumentException>(() => ours.forward(x, x, x, null, zeros(3, 7, 7))).Message, StringComparison.Ordinal);
    }
}
