using SailVit.Bench;
using SailVit.Bench.Measuring;
using SailVit.Bench.Models;
using SailVit.Bench.Onnx;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Bench;

public sealed class OnnxBenchTests
{
    public static TheoryData<string> Ops => ["linear", "layer_norm", "scaled_dot_product_attention", "attention"];

    private static BenchCase Small(string op) => op switch
    {
        "linear" => OnnxBench.Linear(17, 24, 40),
        "layer_norm" => OnnxBench.LayerNorm(5, 48),
        "scaled_dot_product_attention" => OnnxBench.Attention(3, 16, 21),
        _ => OnnxBench.FusedAttention(3, 16, 21),
    };

    [Theory]
    [MemberData(nameof(Ops))]
    public void OnnxRuntimeComputesTheSame(string op)
    {
        SkipWhereItIsMissing();
        var row = BenchRunner.Measure(Small(op), new Limits(1e12, 1e11), new TimingOptions(2, 0.05, 0));
        Assert.Equal(op, row.Op);
        Assert.StartsWith($"ONNX Runtime {OnnxSession.Version} ", row.Baseline, StringComparison.Ordinal);
        Assert.InRange(row.RelError!.Value, 1e-9, 1e-5);
        Assert.InRange(row.BaselineRelError!.Value, 1e-9, 1e-5);
    }

    [Fact]
    public void TheEncodersGraphGivesThePublishedFeatures()
    {
        SkipWhereItIsMissing();
        using var scope = NewDisposeScope();
        using var expected = SafetensorsFile.Open(TestData.Golden("aimv2_small", "expected.safetensors"));
        using var checkpoint = Checkpoint.Open(TestData.Golden("aimv2_small"));
        var pixels = expected.Read("input.pixel_values")[..1].contiguous();
        using var session = new OnnxSession(OnnxEncoder.Build(ConfigFile.Read(TestData.Golden("aimv2_small")), checkpoint.Names.ToDictionary(name => name, checkpoint.Read)), pixels);
        var last = expected.Read("output.last")[..1];
        Assert.InRange(((session.Run() - last).norm() / last.norm()).item<float>(), 0, 1e-5);
    }

    [Fact]
    public void TheModelsRowIsMeasured()
    {
        SkipWhereItIsMissing();
        var cases = ModelBench.AgainstOnnxRuntime("small", ConfigFile.Read(TestData.Golden("aimv2_small")), ScalarType.Float32).ToList();
        var row = BenchRunner.Measure(Assert.Single(cases), new Limits(1e12, 1e11), TimingOptions.QuickModel);
        Assert.InRange(row.RelError!.Value, 1e-9, 1e-5);
        Assert.InRange(row.BaselineRelError!.Value, 1e-9, 1e-5);
        Assert.Empty(ModelBench.AgainstOnnxRuntime("other", EncoderPresets.Get("internvit-300m"), ScalarType.Float32));
        Assert.Empty(ModelBench.AgainstOnnxRuntime("bf16", EncoderPresets.Get("aimv2-base"), ScalarType.BFloat16));
    }

    [Fact]
    public void TheFilterFindsItsRows()
    {
        SkipWhereItIsMissing();
        Assert.All(BenchRunner.AllOps().Where(new BenchFilter("onnx").Takes), c => Assert.StartsWith("ONNX Runtime ", c.Baseline, StringComparison.Ordinal));
        Assert.Contains(BenchRunner.AllOps(), new BenchFilter("onnx linear").Takes);
    }

    private static void SkipWhereItIsMissing() => Assert.SkipWhen(OnnxSession.Version is null, $"ONNX Runtime does not load here: {OnnxSession.Problem}");
}
