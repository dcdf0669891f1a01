using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public sealed class AttentionArgumentTests
{
    private static void Throws(string text, Action call) => Assert.Contains(text, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);

    [Fact]
    public void Tensors_AreChecked()
    {
        using var scope = NewDisposeScope();
        var x = randn(2, 5, 4, 8);
        Throws("value", () => functional.attention(x, x, null!));
        Throws("key has dtype Float64", () => functional.attention(x, x.to(float64), x));
        Throws("key has dtype BFloat16, but query has Float32", () => functional.attention(x, x.to(bfloat16), x));
        Throws("must have 4 dimensions", () => functional.attention(x[0], x, x));
        Throws("value has shape [2, 3, 4, 8]; it must be [2, 5, 4, 8]", () => functional.attention(x, x, x.narrow(1, 0, 3)));
        Throws("key has shape [1, 5, 4, 8]; it must be [2, 5, 4, 8]", () => functional.attention(x, x.narrow(0, 0, 1), x));
        Throws("it must be [2, 5, 4, 8]", () => functional.attention(x, x.narrow(3, 0, 4), x.narrow(3, 0, 4)));
        Throws("key has 3 heads", () => functional.attention(x, x.narrow(2, 0, 3), x.narrow(2, 0, 3)));
        Throws("third dimension must be 3", () => functional.attention_qkvpacked(randn([2, 5, 4, 2, 8])));
        Throws("channels per head", () => functional.attention(zeros(1, 2, 1, 0), zeros(1, 2, 1, 0), zeros(1, 2, 1, 0)));
        Throws("channels per head", () => functional.attention(zeros(1, 2, 1, 2000), zeros(1, 2, 1, 2000), zeros(1, 2, 1, 2000)));
        Throws("scale is NaN", () => functional.attention(x, x, x, scale: double.NaN));
        Throws("key has 2 heads, query 4", () => functional.scaled_dot_product_attention(x.transpose(1, 2), x.transpose(1, 2).narrow(1, 0, 2), x.transpose(1, 2).narrow(1, 0, 2)));
    }

    [Fact]
    public void Masks_AreChecked()
    {
        using var scope = NewDisposeScope();
        var x = randn(2, 5, 4, 8);
        Throws("attn_mask has shape [4, 5]; it must be broadcastable to [B, H, Nq, Nk] = [2, 4, 5, 5]", () => functional.attention(x, x, x, ones(4, 5)));
        Throws("broadcastable", () => functional.attention(x, x, x, ones([1, 2, 4, 5, 5])));
        Throws("attn_mask has dtype Int64", () => functional.attention(x, x, x, ones(5, 5, dtype: int64)));
        Throws("attn_mask has dtype Float16", () => functional.attention(x, x, x, ones(5, 5, dtype: float16)));
    }

    [Fact]
    public void DropoutOfProbabilities_IsRefused()
    {
        using var scope = NewDisposeScope();
        var x = randn(2, 4, 5, 8);
        Assert.Contains("Pass 0", Assert.Throws<NotSupportedException>(() => functional.scaled_dot_product_attention(x, x, x, p: 0.1)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DisposedTensor_IsNamed()
    {
        var x = randn(2, 5, 4, 8);
        x.Dispose();
        Assert.Contains("query", Assert.Throws<ObjectDisposedException>(() => functional.attention(x, x, x)).Message, StringComparison.Ordinal);
    }
}
