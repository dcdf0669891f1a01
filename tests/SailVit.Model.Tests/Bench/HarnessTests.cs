using System.Text.Json;
using SailVit.Bench;
using SailVit.Bench.Measuring;
using SailVit.Bench.Reporting;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Bench;

public sealed class HarnessTests
{
    private static readonly Limits Known = new(1e12, 1e11);

    private static OpBench Product(ScalarType dtype = ScalarType.Float32, Func<Tensor[], Tensor[]>? ours = null) => new()
    {
        Op = "product",
        Shape = "16x32",
        DType = dtype,
        Inputs = () => [Inputs.Normal(dtype, 16, 32), Inputs.Gain(dtype, 32), null],
        Ours = ours ?? (t => [t[0] * t[1]]),
        Stock = t => [t[0] * t[1]],
        Baseline = "mul",
        Forward = Work.Elements(dtype, 1, 1, 16, 32),
        Backward = Work.Elements(dtype, 2, 1, 16, 32),
    };

    private static BenchRow Measure(BenchCase c) => BenchRunner.Measure(c, Known, new TimingOptions(3, 0.05, 0));

    [Fact]
    public void BothDirections_ComeFromOneDescription()
    {
        var cases = Product().Cases().ToList();
        Assert.Equal([Direction.Forward, Direction.ForwardBackward], cases.Select(c => c.Direction));
        Assert.Equal(2 * 16 * 32 * 4, cases[0].Work.Bytes);
        Assert.Equal(5 * 16 * 32 * 4, cases[1].Work.Bytes);
        Assert.Single((Product() with { Backward = null }).Cases());
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1e-9, 1e-6)]
    [InlineData(ScalarType.BFloat16, 1e-4, 1e-2)]
    public void ErrorsAreThoseOfTheStorageType(ScalarType dtype, double low, double high)
    {
        foreach (var row in Product(dtype).Cases().Select(Measure))
        {
            Assert.InRange(row.RelError!.Value, low, high);
            Assert.Equal(row.RelError, row.BaselineRelError);
        }
    }

    [Fact]
    public void WrongGradient_ShowsInTheError()
    {
        // The value is right, the gradient of the second factor is missing a half.
        var bench = Product(ours: t => [t[0] * (t[1] + t[1].detach()) / 2]);
        var rows = bench.Cases().Select(Measure).ToList();
        Assert.InRange(rows[0].RelError!.Value, 0, 1e-6);
        Assert.Equal(0.5, rows[1].RelError!.Value, 5);
        Assert.InRange(rows[1].BaselineRelError!.Value, 0, 1e-6);
    }

    [Fact]
    public void GradientsOfOutputs_HaveTheirDType_AlsoAfterTheReference()
    {
        using var scope = NewDisposeScope();
        using var pair = (OpPair)Product().Cases().Last().Create();
        pair.Errors();
        Assert.Equal([ScalarType.Float32], pair.GradientDTypes);
    }

    [Fact]
    public void GradientsDoNotAccumulateOverCalls()
    {
        using var scope = NewDisposeScope();
        using var pair = Product().Cases().Last().Create();
        var first = pair.Ours();
        var second = pair.Ours();
        Assert.Equal(3, first.Length);
        Assert.All(first.Zip(second), p => Assert.True(Bits.Same(p.First, p.Second)));
    }

    [Fact]
    public void PreparedCall_IsUsedForForwardOnly()
    {
        int prepared = 0, calls = 0;
        var bench = Product() with
        {
            OursPrepared = t =>
            {
                prepared++;
                return () =>
                {
                    calls++;
                    return [t[0] * t[1]];
                };
            },
        };
        Assert.Equal(2, bench.Cases().Select(Measure).Count(r => r.RelError < 1e-6));
        Assert.Equal(1, prepared);
        Assert.True(calls > 3);
    }

    [Fact]
    public void NothingLeaksOverCalls()
    {
        using var pair = Product().Cases().Last().Create();
        Timing.Interleaved(pair, TimingOptions.Quick);
        // Counted on this thread: other tests run at the same time.
        long before = DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;
        Timing.Interleaved(pair, TimingOptions.Quick);
        Assert.Equal(before, DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount);
    }

    [Fact]
    public void FractionOfLimit_IsTheLargerOfBothLimits()
    {
        Assert.Equal(2.0, Known.Seconds(new Work(2e12, 1e10)), 12);
        Assert.Equal(0.1, Known.Seconds(new Work(1e10, 1e10)), 12);
        var row = Measure(Product().Cases().First());
        Assert.Equal(2 * 16 * 32 * 4 / 1e11 * 1e3 / row.Ms, row.FractionOfLimit, 9);
    }

    [Fact]
    public void MeasuredLimits_ArePlausible()
    {
        var limits = Limits.Measure();
        // One FMA per cycle of the slowest processor; no machine copies slower than a network.
        Assert.InRange(limits.FlopsPerSecond, 1e8, 1e15);
        Assert.InRange(limits.BytesPerSecond, 1e8, 1e14);
    }

    [Fact]
    public void Spread_InterpolatesBetweenSamples()
    {
        Assert.Equal(new Spread(3, 1.4, 4.6), Spread.Of([5, 1, 4, 2, 3]));
        Assert.Equal(new Spread(1.5, 1.1, 1.9), Spread.Of([2, 1]));
        Assert.Equal(new Spread(7, 7, 7), Spread.Of([7]));
        Assert.Throws<ArgumentException>(() => Spread.Of([]));
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("prod", true)]
    [InlineData("PROD 16x", true)]
    [InlineData("product bfloat16", false)]
    [InlineData("forward", true)]
    [InlineData("forward_backward", false)]
    [InlineData("p*t 16x??", true)]
    [InlineData("rod*", false)]
    public void Filter_TakesWordsAndPatterns(string text, bool taken) =>
        Assert.Equal(taken, new BenchFilter(text).Takes(Product().Cases().First()));

    [Fact]
    public void Filter_ByDType()
    {
        Assert.False(new BenchFilter(null, ScalarType.BFloat16).Takes(Product().Cases().First()));
        Assert.Equal(ScalarType.BFloat16, Names.DType("BF16"));
        Assert.Throws<ArgumentException>(() => Names.DType("int8"));
    }

    [Fact]
    public void AllOps_HaveBothSidesAndDistinctNames()
    {
        var cases = BenchRunner.AllOps();
        Assert.NotEmpty(cases);
        Assert.Equal(cases.Count, cases.DistinctBy(c => (c.Op, c.Shape, c.DType, c.Direction, c.Baseline.Contains("ONNX", StringComparison.Ordinal))).Count());
        Assert.All(cases, c => Assert.True(c.Work.Flops + c.Work.Bytes > 0 && c.Baseline.Length > 0, c.Op));
    }

    [Fact]
    public void Json_HasTheFixedNames()
    {
        using var folder = new TempFolder();
        var path = Path.Combine(folder.Path, "rows.json");
        var rows = Product().Cases().Select(Measure).ToList();
        BenchFiles.WriteJson(path, rows);
        using var json = JsonDocument.Parse(File.ReadAllText(path));
        Assert.Equal(2, json.RootElement.GetArrayLength());
        foreach (var row in json.RootElement.EnumerateArray())
        {
            foreach (var name in (string[])["op", "shape", "dtype", "direction", "backend", "baseline"])
            {
                Assert.Equal(JsonValueKind.String, row.GetProperty(name).ValueKind);
            }
            foreach (var name in (string[])["ms", "baseline_ms", "speedup", "fraction_of_limit", "rel_error", "baseline_rel_error"])
            {
                Assert.Equal(JsonValueKind.Number, row.GetProperty(name).ValueKind);
            }
            Assert.Equal(row.GetProperty("baseline_ms").GetDouble() / row.GetProperty("ms").GetDouble(), row.GetProperty("speedup").GetDouble(), 9);
            Assert.False(row.TryGetProperty("peak_mb", out _));
        }
        Assert.Equal("forward", json.RootElement[0].GetProperty("direction").GetString());
        Assert.Equal("forward_backward", json.RootElement[1].GetProperty("direction").GetString());
        Assert.Equal(rows, BenchFiles.ReadJson(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Record_WritesTableRowsAndVersions()
    {
        using var folder = new TempFolder();
        var rows = Product().Cases().Select(Measure).ToList();
        var machine = Machine.Current();
        var target = BenchFiles.Record(folder.Path, "ops", rows, machine, Known);
        Assert.Equal(Path.Combine(folder.Path, machine.Slug), target);
        Assert.Matches("^[a-z0-9-]+-[0-9]+t$", machine.Slug);
        Assert.Equal(["ops.json", "ops.md", "versions.txt"], Directory.GetFiles(target).Select(Path.GetFileName).Order());
        var lines = File.ReadAllLines(Path.Combine(target, "ops.md"));
        Assert.Equal(2, lines.Count(l => l.StartsWith("| product", StringComparison.Ordinal)));
        // Every line of the table has as many cells as its head.
        Assert.Single(lines.Where(l => l.StartsWith('|')).Select(l => l.Count(c => c == '|')).Distinct());
        Assert.Contains(machine.LibTorchVersion, File.ReadAllText(Path.Combine(target, "versions.txt")), StringComparison.Ordinal);

        // One dtype's rows leave those of a whole run in place.
        BenchFiles.Record(folder.Path, "ops --dtype float16", rows[..1], machine, Known);
        Assert.Equal(rows, BenchFiles.ReadJson(Path.Combine(target, "ops.json")));
        Assert.Equal(rows[..1], BenchFiles.ReadJson(Path.Combine(target, "ops-float16.json")));
    }
}
