using SailVit.Kernels.Modules;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Modules;

public sealed class NormModuleTests
{
    [Fact]
    public void LayerNorm_LoadsWhatTorchSaved()
    {
        using var scope = NewDisposeScope();
        var stock = nn.LayerNorm(12);
        nn.init.normal_(stock.weight);
        nn.init.normal_(stock.bias);
        var ours = new LayerNorm(12);
        ours.load_state_dict(stock.state_dict());
        Assert.Equal(["bias", "weight"], ours.state_dict().Keys.Order());
        var x = randn(3, 12);
        Assert.True(ours.call(x).allclose(stock.call(x), rtol: 1e-5, atol: 1e-6));
    }

    [Fact]
    public void RMSNorm_HasAWeightOnly()
    {
        using var scope = NewDisposeScope();
        var norm = new RMSNorm(12, eps: 1e-5);
        Assert.Equal(["weight"], norm.state_dict().Keys);
        var x = randn(3, 12);
        Assert.True(Bits.Same(norm.call(x), functional.rms_norm(x, [12], eps: 1e-5)));
        var (output, sum) = norm.forward(x, x);
        Assert.True(Bits.Same(sum, x + x));
        Assert.True(Bits.Same(output, functional.rms_norm(x + x, [12], eps: 1e-5)));
    }

    [Fact]
    public void Parameters_AreOptionalAndGetGradients()
    {
        using var scope = NewDisposeScope();
        Assert.Empty(new LayerNorm([2, 3], elementwise_affine: false).parameters());
        Assert.Single(new LayerNorm(3, bias: false).parameters());
        Assert.Empty(new RMSNorm(3, elementwise_affine: false).parameters());
        var norm = new LayerNorm([2, 3], dtype: float32);
        norm.call(randn(4, 2, 3)).sum().backward();
        Assert.All(norm.parameters(), p => Assert.NotNull(p.grad));
    }

    [Fact]
    public void Modules_ConvertToAnotherType()
    {
        using var scope = NewDisposeScope();
        using var layer = new LayerNorm(8);
        using var rms = new RMSNorm(8);
        layer.to(bfloat16);
        rms.to(bfloat16);
        Assert.Equal(bfloat16, layer.weight!.dtype);
        Assert.Equal(bfloat16, layer.state_dict()["bias"].dtype);
        Assert.Equal(bfloat16, rms.forward(randn(3, 8).to(bfloat16)).dtype);
    }
}
