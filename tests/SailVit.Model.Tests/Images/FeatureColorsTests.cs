using SailVit.Model.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Images;

public sealed class FeatureColorsTests
{
    [Fact]
    public void FirstColour_FollowsTheMainDirection()
    {
        using var scope = NewDisposeScope();
        manual_seed(1);
        var along = linspace(-1, 1, 50, dtype: float32);
        // One direction carries nearly all variance; noise elsewhere.
        var tokens = (5 * along.unsqueeze(1) * nn.functional.one_hot(tensor(1L), 5)) + (0.01f * randn(50, 5));
        var red = FeatureColors.Compute([tokens])[0].select(1, 0).data<byte>().ToArray();
        Assert.Equal(0, red[0]);
        Assert.Equal(255, red[49]);
        Assert.True(red.Zip(red.Skip(1)).All(p => p.First <= p.Second + 2));
    }

    [Fact]
    public void Images_ShareOneProjectionAndKeepTheirSizes()
    {
        using var scope = NewDisposeScope();
        manual_seed(2);
        var a = randn(20, 6);
        var colors = FeatureColors.Compute([a, randn(7, 6), a]);
        Assert.Equal([20L, 3], colors[0].shape);
        Assert.Equal([7L, 3], colors[1].shape);
        Assert.True(TestData.Same(colors[0], colors[2]));
    }

    [Fact]
    public void WrongShapes_AreRefused()
    {
        using var scope = NewDisposeScope();
        Assert.Throws<ArgumentException>(() => FeatureColors.Compute([]));
        Assert.Throws<ArgumentException>(() => FeatureColors.Compute([randn(3, 2)]));
        Assert.Throws<ArgumentException>(() => FeatureColors.Compute([randn(3, 4), randn(3, 5)]));
    }
}
