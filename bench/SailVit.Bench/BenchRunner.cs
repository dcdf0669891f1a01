using System.Diagnostics;
using System.Reflection;
using SailVit.Bench.Measuring;
using SailVit.Bench.Onnx;
using static TorchSharp.torch;

namespace SailVit.Bench;

/// <summary>How far a run is.</summary>
/// <param name="Done">Finished cases.</param>
/// <param name="Total">All cases.</param>
/// <param name="Next">What runs now; empty at the end.</param>
/// <param name="Left">Estimate of the time left; null before the first case is done.</param>
public readonly record struct BenchProgress(int Done, int Total, string Next, TimeSpan? Left);

/// <summary>Finds and runs op benchmarks.</summary>
public static class BenchRunner
{
    /// <summary>All cases of all ops in this assembly that the backend in use has, ops in alphabetical order.</summary>
    public static IReadOnlyList<BenchCase> AllOps() =>
    [
        .. Assembly.GetExecutingAssembly().GetTypes()
            .Where(t => t is { IsClass: true, IsAbstract: false } && t.IsAssignableTo(typeof(IOpBench)))
            .OrderBy(t => t.Name, StringComparer.Ordinal)
            .SelectMany(t => ((IOpBench)Activator.CreateInstance(t)!).Cases())
            .Where(c => !c.IsCpuOnly || !DevicePair.IsNeeded),
    ];

    /// <summary>Why there are no rows against ONNX Runtime; null where there are.</summary>
    public static string? OnnxRuntimeProblem => OnnxSession.Problem;

    /// <summary>Measures each case; a row is yielded as soon as it is known.</summary>
    public static IEnumerable<BenchRow> Run(IReadOnlyList<BenchCase> cases, Limits limits, TimingOptions options, Action<BenchProgress>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(cases);
        ArgumentNullException.ThrowIfNull(options);
        if (options.KeepMemory)
        {
            WarmMemory.Keep();
        }
        var watch = Stopwatch.StartNew();
        for (int i = 0; i < cases.Count; i++)
        {
            var c = cases[i];
            progress?.Invoke(new(i, cases.Count, $"{c.Op} {c.Shape} {Names.Of(c.DType)} {Names.Of(c.Direction)}", i == 0 ? null : watch.Elapsed * (cases.Count - i) / i));
            yield return Measure(c, limits, options);
        }
        progress?.Invoke(new(cases.Count, cases.Count, "", TimeSpan.Zero));
    }

    /// <summary>Measures one case.</summary>
    public static BenchRow Measure(BenchCase c, Limits limits, TimingOptions options)
    {
        ArgumentNullException.ThrowIfNull(c);
        ArgumentNullException.ThrowIfNull(limits);
        using var scope = NewDisposeScope();
        using var pair = DevicePair.IsNeeded ? new DevicePair(c.Create()) : c.Create();
        // Errors first: a wrong result is not worth timing, and both sides get their first call out of the way.
        var (error, baselineError) = pair.Errors();
        var timing = Timing.Interleaved(pair, DevicePair.IsNeeded ? options with { SampleMs = Math.Max(options.SampleMs, DevicePair.SampleMs) } : options);
        var row = new BenchRow
        {
            Op = c.Op,
            Shape = c.Shape,
            DType = Names.Of(c.DType),
            Direction = Names.Of(c.Direction),
            Backend = DevicePair.IsNeeded ? "opencl" : "cpu",
            Ms = timing.Ours.Median,
            Baseline = c.Baseline,
            BaselineMs = timing.Stock.Median,
            Flops = c.Work.Flops,
            Bytes = c.Work.Bytes,
            RelError = error,
            BaselineRelError = baselineError,
            MsP10 = timing.Ours.P10,
            MsP90 = timing.Ours.P90,
            BaselineMsP10 = timing.Stock.P10,
            BaselineMsP90 = timing.Stock.P90,
        };
        return row.At(limits);
    }
}
