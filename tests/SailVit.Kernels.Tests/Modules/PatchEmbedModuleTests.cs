using SailVit.Kernels.Modules;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Modules;

public sealed class PatchEmbedModuleTests
{
    [Theory]
    [InlineData(PatchNorm.None, "proj.bias, proj.weight")]
    [InlineData(PatchNorm.RmsNorm, "norm.weight, proj.bias, proj.weight")]
    [InlineData(PatchNorm.LayerNorm, "norm.bias, norm.weight, proj.bias, proj.weight")]
    public void State_HasThePublishedKeys(PatchNorm norm, string keys)
    {
        using var scope = NewDisposeScope();
        var module = new PatchEmbed(16, 4, norm: norm);
        Assert.Equal(keys, string.Join(", ", module.state_dict().Keys.Order()));
        Assert.Equal([2, 6, 16], module.call(randn(2, 3, 8, 12)).shape);
    }

    [Fact]
    public void SizesBelowOne_AreRefused() => Assert.Contains("patch_size 0", Assert.Throws<ArgumentException>(() => new PatchEmbed(16, 0)).Message, StringComparison.Ordinal);

    [Fact]
    public void Forward_IsTheOp()
    {
        using var scope = NewDisposeScope();
        var module = new PatchEmbed(16, 4, norm: PatchNorm.RmsNorm, mean: [0.5f, 0.5f, 0.5f], std: [0.2f, 0.2f, 0.2f]);
        var pixels = randint(0, 256, [2, 3, 8, 12]).to(uint8);
        var (position, token) = (randn(7, 16), randn(1, 1, 16));
        var gamma = module.state_dict()["norm.weight"];
        var expected = functional.patch_embed(
            pixels, module.weight, module.bias, gamma, norm: PatchNorm.RmsNorm, position: position, cls_token: token,
            mean: [0.5f, 0.5f, 0.5f], std: [0.2f, 0.2f, 0.2f]);
        Assert.True(Bits.Same(expected.detach(), module.forward(pixels, position, token).detach()));
        module.forward(pixels, position, token).sum().backward();
        Assert.All(module.parameters(), p => Assert.NotNull(p.grad));
    }
}
