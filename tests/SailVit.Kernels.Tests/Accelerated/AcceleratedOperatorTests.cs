using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Accelerated;

/// <summary>Each operator that the accelerator takes over: results, gradients, and what it leaves to libtorch.</summary>
[Collection(nameof(Interop.WholeProcess))]
public sealed class AcceleratedOperatorTests : IDisposable
{
    // The rule is about speed on this processor; what is tested is the kernels.
    private readonly IDisposable _own = LinearDispatch.Use(LinearPath.Own);
    private readonly DisposeScope _scope = NewDisposeScope();

    public AcceleratedOperatorTests() => manual_seed(11);

    public void Dispose()
    {
        _scope.Dispose();
        _own.Dispose();
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(17, 33, 65)]
    [InlineData(197, 192, 576)]
    [InlineData(64, 1024, 7)]
    public void MatrixProducts_MatchReference(long m, long k, long n)
    {
        var ran = AcceleratedCheck.Run("linear", x => linear(x[0], x[1], x[2]), randn(1, m, k), randn(n, k), randn(n));
        Assert.Equal(["mm:cpu", "mm:cpu", "mm:cpu"], ran);
        AcceleratedCheck.Run("matmul", x => x[0].matmul(x[1]), randn(m, k), randn(k, n));
        AcceleratedCheck.Run("transposed left", x => x[0].t().matmul(x[1]), randn(k, m), randn(k, n));
        AcceleratedCheck.Run("both transposed", x => x[0].t().matmul(x[1].t()), randn(k, m), randn(n, k));
        ran = AcceleratedCheck.Run("bmm", x => x[0].bmm(x[1].transpose(1, 2)), randn(3, m, k), randn(3, n, k));
        Assert.Equal(["bmm:cpu", "bmm:cpu", "bmm:cpu"], ran);
        AcceleratedCheck.Run("sliced", x => x[0].narrow(1, 1, m).narrow(0, 0, 2).bmm(x[1].expand(2, k, n)), randn(3, m + 2, k), randn(1, k, n));
    }

    [Theory]
    [InlineData(1024, 200, true)]
    [InlineData(1000, 67, true)]
    [InlineData(768, 64, false)]
    public void LayerNorm_MatchesReference(long width, long rows, bool affine)
    {
        var ran = affine
            ? AcceleratedCheck.Run("layer_norm", x => layer_norm(x[0], [width], x[1], x[2]), randn(2, rows, width) + 3, randn(width), randn(width))
            : AcceleratedCheck.Run("layer_norm", x => layer_norm(x[0], [width]), randn(2, rows, width));
        Assert.Equal(["native_layer_norm:cpu", "native_layer_norm_backward:cpu"], ran);
        AcceleratedCheck.Run("transposed rows", x => layer_norm(x[0].transpose(0, 1), [width]), randn(rows, 2, width));
    }

    [Theory]
    [InlineData(1, 64)]
    [InlineData(17, 40)]
    [InlineData(197, 64)]
    [InlineData(300, 128)]
    public void Attention_MatchesReference(long rows, long width)
    {
        Tensor[] inputs = [randn(2, 3, rows, width), randn(2, 3, rows, width), randn(2, 3, rows, width)];
        var bias = randn(rows, rows);
        var mask = rand(2, 1, rows, rows).gt(0.3).logical_or(eye(rows, dtype: ScalarType.Bool));
        const string Name = "_scaled_dot_product_flash_attention_for_cpu";
        var ran = AcceleratedCheck.Run("plain", x => scaled_dot_product_attention(x[0], x[1], x[2]), inputs);
        Assert.Equal([$"{Name}:cpu", $"{Name}_backward:cpu"], ran);
        AcceleratedCheck.Run("causal", x => scaled_dot_product_attention(x[0], x[1], x[2], is_casual: true), inputs);
        AcceleratedCheck.Run("bias", x => scaled_dot_product_attention(x[0], x[1], x[2], bias.to(x[0].dtype)), inputs);
        ran = AcceleratedCheck.Run("mask", x => scaled_dot_product_attention(x[0], x[1], x[2], mask), inputs);
        Assert.Equal([$"{Name}:cpu", $"{Name}_backward:cpu"], ran);
        AcceleratedCheck.Run("heads within rows", x => scaled_dot_product_attention(x[0].transpose(1, 2), x[1].transpose(1, 2), x[2].transpose(1, 2)).transpose(1, 2),
            randn(2, rows, 3, width), randn(2, rows, 3, width), randn(2, rows, 3, width));
    }

    [Theory]
    [InlineData(ScalarType.BFloat16, 197, 64)]
    [InlineData(ScalarType.BFloat16, 40, 128)]
    [InlineData(ScalarType.Float16, 197, 64)]
    [InlineData(ScalarType.Float16, 40, 128)]
    public void AttentionIn16Bits_MatchesReference(ScalarType dtype, long rows, long width)
    {
        Tensor Input() => randn(2, 3, rows, width).to(dtype);
        Tensor[] inputs = [Input(), Input(), Input()];
        var bias = randn(rows, rows).to(dtype);
        var ran = AcceleratedCheck.Run("plain", x => scaled_dot_product_attention(x[0], x[1], x[2]), inputs);
        Assert.All(ran, r => Assert.EndsWith(":cpu", r, StringComparison.Ordinal));
        AcceleratedCheck.Run("causal", x => scaled_dot_product_attention(x[0], x[1], x[2], is_casual: true), inputs);
        AcceleratedCheck.Run("bias", x => scaled_dot_product_attention(x[0], x[1], x[2], bias.to(x[0].dtype)), inputs);
    }

    [Fact]
    public void Activations_MatchReference()
    {
        Assert.Equal(["gelu:cpu", "gelu_backward:cpu"], AcceleratedCheck.Run("gelu", x => gelu(x[0]), randn(3, 111, 257) * 3));
        Assert.Equal(["gelu:cpu", "gelu_backward:cpu"], AcceleratedCheck.Run("gelu tanh", x => gelu(x[0], GELU.Approximate.tanh), randn(3, 111, 257) * 3));
        Assert.Equal(["silu:cpu", "silu_backward:cpu"], AcceleratedCheck.Run("silu", x => silu(x[0]), randn(3, 111, 257) * 3));
    }

    public static TheoryData<string> LeftToLibTorch => ["float64", "bfloat16", "complex", "integer", "small", "sparse", "strided silu", "no rows", "dropout"];

    [Theory]
    [MemberData(nameof(LeftToLibTorch))]
    public void WhatIsNotServed_IsLibTorchsBitForBit(string kind)
    {
        using var rule = LinearDispatch.Use(kind is "small" or "bfloat16" or "dropout" ? LinearPath.LibTorch : LinearPath.Own);
        Func<Tensor[]> work = kind switch
        {
            "float64" => Graph(float64),
            "bfloat16" => Graph(bfloat16),
            "complex" => Fixed(randn(40, 50, dtype: complex64), x => x.mm(x.t())),
            "integer" => Fixed(randint(0, 9, [40, 50]), x => x.mm(x.t())),
            "small" => Graph(float32),
            "sparse" => Fixed(eye(40).to_sparse(), x => x.mm(ones(40, 3))),
            "strided silu" => Fixed(randn(400, 500), x => silu(x.t())),
            "no rows" => Fixed(zeros(0, 50), x => x.mm(ones(50, 3))),
            _ => Fixed(randn(1, 2, 8, 4), x => scaled_dot_product_attention(x, x, x, null, 1.0).mul(0)),
        };
        var stock = work();
        using var events = new AcceleratedCheck.Events();
        using var accelerator = Accelerator.Install();
        foreach (var (ours, theirs) in work().Zip(stock))
        {
            Assert.Null(Bits.FirstDifference(ours, theirs));
        }
        Assert.DoesNotContain(events.Ran, r => r.EndsWith(":cpu", StringComparison.Ordinal));
    }

    [Fact]
    public void NegativeViews_AreReadAsWhatTheyStandFor()
    {
        // conj().imag shares memory with the imaginary part and only notes the sign.
        using var scope = NewDisposeScope();
        using var rule = LinearDispatch.Use(LinearPath.Own);
        var (x, w) = (randn(40, 50, dtype: complex64), randn(50, 30));
        var expected = x.conj().imag.mm(w);
        using var accelerator = Accelerator.Install();
        var actual = x.conj().imag.mm(w);
        Assert.True(actual.allclose(expected, 1e-4, 1e-4), $"{(actual - expected).abs().max().item<float>()}, {(actual + expected).abs().max().item<float>()}");
    }

    [Fact]
    public void Mistakes_AreTorchSharpsExceptions()
    {
        using var accelerator = Accelerator.Install();
        Assert.Contains("shapes cannot be multiplied", Assert.ThrowsAny<Exception>(() => randn(2, 3).mm(randn(2, 3))).Message, StringComparison.Ordinal);
        Assert.Contains("normalized_shape", Assert.ThrowsAny<Exception>(() => layer_norm(randn(2, 3), [4])).Message, StringComparison.Ordinal);
        Assert.Contains("not implemented", Assert.ThrowsAny<Exception>(() => gelu(ones(3, dtype: int64))).Message, StringComparison.Ordinal);
        Assert.Contains("not implemented", Assert.ThrowsAny<Exception>(() => silu(ones(3, dtype: int64))).Message, StringComparison.Ordinal);
        Assert.ThrowsAny<Exception>(() => linear(randn(2, 3, 4), randn(5, 5), randn(5)));
        Assert.ThrowsAny<Exception>(() => randn(2, 3, 4).bmm(randn(2, 3, 4)));
        // Nothing of it stays behind.
        Assert.Equal(6, ones(2, 3).mm(ones(3, 2)).sum().item<float>() / 2);
    }

    private static Func<Tensor[]> Graph(ScalarType dtype)
    {
        Tensor[] inputs = [randn(2, 5, 8).to(dtype), randn(6, 8).to(dtype), randn(6).to(dtype), randn(6).to(dtype)];
        return () => AcceleratedCheck.Pass(x => silu(gelu(layer_norm(linear(x[0], x[1], x[2]), [6], x[3], x[2]))), inputs);
    }

    private static Func<Tensor[]> Fixed(Tensor x, Func<Tensor, Tensor> op) => () =>
    {
        using var noGrad = no_grad();
        return [op(x).to_dense()];
    };
}
