using SailVit.Bench;
using SailVit.Bench.Measuring;
using SailVit.Bench.Models;
using SailVit.Model.Checkpoints;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Bench;

public sealed class ModelBenchTests
{
    [Theory]
    [InlineData("aimv2_small", ScalarType.Float32, 1e-5)]
    [InlineData("internvit_small", ScalarType.Float32, 1e-5)]
    [InlineData("aimv2_small", ScalarType.BFloat16, 0.2)]
    public void BothSidesComputeTheSame_OutputsAndGradients(string name, ScalarType dtype, double tolerance)
    {
        var config = ConfigFile.Read(TestData.Golden(name));
        var rows = ModelBench.Cases(name, config, dtype).Select(c => BenchRunner.Measure(c, new Limits(1e12, 1e11), TimingOptions.QuickModel)).ToList();
        Assert.Equal(["forward", "forward_backward"], rows.Select(r => r.Direction));
        Assert.All(rows, r => Assert.InRange(r.RelError!.Value, 0, tolerance));
        Assert.All(rows, r => Assert.InRange(r.BaselineRelError!.Value, 0, tolerance));
        Assert.Equal(config.FlopsPerImage, rows[0].Flops);
    }

    [Theory]
    [InlineData(ModelBench.Side.Ours)]
    [InlineData(ModelBench.Side.Stock)]
    public void PeakOfTraining_CoversTheOptimizerState(ModelBench.Side side)
    {
        var config = ConfigFile.Read(TestData.Golden("aimv2_small"));
        // Parameters, gradients and two averages.
        Assert.True(ModelBench.PeakOfTraining(side, config, ScalarType.Float32) > config.ParameterCount * 16 / 1e6);
    }
}
