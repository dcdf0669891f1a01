using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Dispatch;

public sealed unsafe class AttentionDispatchTests
{
    [Fact]
    public void Own_IsForcedWithLinearLayers()
    {
        using var own = LinearDispatch.Use(LinearPath.Own);
        Assert.False(AttentionDispatch.UsesBFloat16Product);
        Assert.Equal("products in float32", AttentionDispatch.Explain(bfloat16));
    }

    [Fact]
    public void NarrowerWidths_KeepTheOwnProducts()
    {
        using var narrow = Cpu.Use(SimdWidth.V256);
        Assert.False(AttentionDispatch.UsesBFloat16Product);
    }

    [Fact]
    public void OtherDTypes_AreMultipliedInFloat32()
    {
        Assert.Equal("products in float32", AttentionDispatch.Explain(float32));
        Assert.Equal("products in float32", AttentionDispatch.Explain(float16));
    }

    [Fact]
    public void BothPaths_AgreeToBFloat16sRounding()
    {
        Assert.SkipUnless(AttentionDispatch.UsesBFloat16Product, AttentionDispatch.Explain(bfloat16));
        using var scope = NewDisposeScope();
        using var generator = new Generator(3);
        var qkv = randn([2, 333, 3, 3, 40], dtype: bfloat16, generator: generator).requires_grad_();
        var gradOutput = randn([2, 333, 3, 40], dtype: bfloat16, generator: generator);
        var (tiles, tilesGrad) = Run();
        using var own = LinearDispatch.Use(LinearPath.Own);
        var (expected, expectedGrad) = Run();
        Assert.NotEqual(0, (tiles - expected).abs().max().item<float>());
        Assert.NotEqual(0, (tilesGrad - expectedGrad).abs().max().item<float>());
        Assert.InRange(((tiles - expected).norm() / expected.norm()).item<float>(), 0, 4e-3f);
        Assert.InRange(((tilesGrad - expectedGrad).norm() / expectedGrad.norm()).item<float>(), 0, 4e-3f);

        (Tensor, Tensor) Run()
        {
            var output = functional.attention_qkvpacked(qkv);
            return (output.detach().to(float32), autograd.grad([output], [qkv], [gradOutput])[0].to(float32));
        }
    }

    [Fact]
    public void Backward_BesideAMaskThatHidesARow_IsFinite()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(4);
        var q = randn([1, 2, 70, 16], dtype: bfloat16, generator: generator).requires_grad_();
        var mask = ones(70, 70, dtype: @bool);
        mask[0].fill_(false);
        var gradient = autograd.grad([functional.scaled_dot_product_attention(q, q, q, mask)], [q], [ones_like(q)])[0];
        Assert.True(gradient.isfinite().all().item<bool>());
    }

    [Theory]
    [InlineData(64, 64, 32)]
    [InlineData(64, 48, 128)]
    public void Product_IsTheSumInFloat32(int m, int n, int k)
    {
        Assert.SkipUnless(BFloat16Product.IsAvailable && AttentionDispatch.UsesBFloat16Product, "no bfloat16 product here");
        using var scope = NewDisposeScope();
        using var generator = new Generator(5);
        var a = randn([m, k], dtype: bfloat16, generator: generator);
        var b = randn([k, n], dtype: bfloat16, generator: generator);
        var pairs = b.reshape(k / 2, 2, n).transpose(1, 2).contiguous();
        var c = ones(m, n);
        BFloat16Product.Multiply(m, n, k, Data(a), k, Data(pairs), n, (float*)Data(c), n, add: true);
        BFloat16Product.Release();
        var expected = a.to(float64).mm(b.to(float64));
        Assert.InRange((c.to(float64) - 1 - expected).abs().max().item<double>(), 0, 1e-5 * k);

        static ushort* Data(Tensor t) => (ushort*)new TensorView(t).Data;
    }
}
