using SailVit.Bench.Stock;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Bench;

/// <summary>A baseline that computes something else would make every comparison worthless.</summary>
public sealed class StockVisionTransformerTests
{
    [Theory]
    [InlineData("aimv2_small")]
    [InlineData("internvit_small")]
    public void AgreesWithThePublishedImplementation(string name)
    {
        using var scope = NewDisposeScope();
        var folder = TestData.Golden(name);
        var config = ConfigFile.Read(folder);
        using var model = new StockVisionTransformer(config);
        CheckpointLoader.Load(model, folder, config.Family);
        using var expected = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        var output = model.call(expected.Read("input.pixel_values"));
        AssertClose(1e-5, output, expected.Read("output.last"));
        output.backward([expected.Read("input.grad_output")]);
        foreach (var (key, parameter) in model.named_parameters())
        {
            AssertClose(1e-5, parameter.grad!, expected.Read($"grad.{key}"));
        }
    }

    [Theory]
    [InlineData(ScalarType.Float64)]
    [InlineData(ScalarType.BFloat16)]
    public void ConvertsToOtherTypes(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var config = ConfigFile.Read(TestData.Golden("internvit_small"));
        using var model = new StockVisionTransformer(config);
        var pixels = randn(1, 3, config.ImageHeight, config.ImageWidth);
        var expected = model.call(pixels);
        var converted = model.to(dtype);
        AssertClose(dtype == ScalarType.Float64 ? 1e-5 : 5e-2, converted.call(pixels.to(dtype)), expected);
    }

    [Theory]
    [InlineData(PositionKind.Learned)]
    [InlineData(PositionKind.SinCos)]
    public void OtherGridsAndDropPath_Run(PositionKind position)
    {
        using var scope = NewDisposeScope();
        var config = ConfigFile.Read(TestData.Golden("internvit_small")) with { Position = position, DropPath = 0.5, QkNorm = true, Mlp = MlpKind.GeluTanh };
        using var model = new StockVisionTransformer(config);
        model.train();
        Assert.Equal([2, 6 * 3 + 1, config.HiddenSize], model.call(randn(2, 3, 84, 42)).shape);
    }

    private static void AssertClose(double tolerance, Tensor actual, Tensor expected) =>
        Assert.InRange(SailVit.Bench.Measuring.RelativeError.Of(actual.detach(), expected.detach()), 0, tolerance);
}
