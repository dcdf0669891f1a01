using System.Diagnostics;
using static TorchSharp.torch;

namespace SailVit.Bench.Measuring;

/// <summary>How long and how often to measure.</summary>
/// <param name="Samples">Samples of each side.</param>
/// <param name="SampleMs">A sample repeats the call until it lasts about this long.</param>
/// <param name="WarmupMs">Each side runs this long before.</param>
/// <param name="WarmupCalls">And at least so often.</param>
/// <param name="KeepMemory">Whether freed memory stays with the process. Right for single ops, whose time page faults would
/// drown; two whole models with their optimizers would hold several GB that neither uses.</param>
public sealed record TimingOptions(int Samples, double SampleMs, double WarmupMs, int WarmupCalls = 2, bool KeepMemory = true)
{
    /// <summary>Looked at before every sample.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>For results that are recorded.</summary>
    public static TimingOptions Full { get; } = new(21, 4, 150);

    /// <summary>For a look.</summary>
    public static TimingOptions Quick { get; } = new(5, 2, 40);

    /// <summary>For whole models, where one call lasts seconds.</summary>
    public static TimingOptions Model { get; } = new(5, 0, 0, 1, KeepMemory: false);

    /// <summary>For training steps, the smallest of which take a few hundredths of a second.</summary>
    public static TimingOptions Step { get; } = new(15, 200, 500, 2, KeepMemory: false);

    /// <summary>For a look at a whole model.</summary>
    public static TimingOptions QuickModel { get; } = new(2, 0, 0, 1, KeepMemory: false);
}

/// <summary>Milliseconds per call of two sides.</summary>
/// <param name="Ours">Ours.</param>
/// <param name="Stock">The baseline.</param>
public readonly record struct PairTiming(Spread Ours, Spread Stock);

/// <summary>Times two sides strictly in turn, so that a slow moment of the machine hits both.</summary>
public static class Timing
{
    /// <summary>Runs both sides of <paramref name="pair"/>. Results are disposed after every call on both sides alike, so the
    /// allocator hands the same warm memory out again.</summary>
    /// <exception cref="OperationCanceledException">By <see cref="TimingOptions.Cancellation"/>.</exception>
    public static PairTiming Interleaved(BenchPair pair, TimingOptions options)
    {
        ArgumentNullException.ThrowIfNull(pair);
        ArgumentNullException.ThrowIfNull(options);
        double oursMs = Warm(pair.Ours, options), stockMs = Warm(pair.Stock, options);
        int oursCalls = Calls(oursMs, options), stockCalls = Calls(stockMs, options);
        var ours = new double[options.Samples];
        var stock = new double[options.Samples];
        SettleGarbage();
        for (int i = 0; i < options.Samples; i++)
        {
            options.Cancellation.ThrowIfCancellationRequested();
            // Who goes first alternates: the second finds the caches as the first left them.
            pair.Settle();
            if (i % 2 == 0)
            {
                ours[i] = Sample(pair.Ours, oursCalls);
                pair.Settle();
                stock[i] = Sample(pair.Stock, stockCalls);
            }
            else
            {
                stock[i] = Sample(pair.Stock, stockCalls);
                pair.Settle();
                ours[i] = Sample(pair.Ours, oursCalls);
            }
        }
        return new(Spread.Of(ours), Spread.Of(stock));
    }

    private static int Calls(double ms, TimingOptions options) => (int)Math.Clamp(Math.Ceiling(options.SampleMs / ms), 1, 100_000);

    // Returns the time of the fastest call.
    private static double Warm(Func<Tensor[]> side, TimingOptions options)
    {
        double best = double.PositiveInfinity;
        var watch = Stopwatch.StartNew();
        for (int calls = 0; calls < options.WarmupCalls || watch.Elapsed.TotalMilliseconds < options.WarmupMs; calls++)
        {
            options.Cancellation.ThrowIfCancellationRequested();
            best = Math.Min(best, Sample(side, 1));
        }
        return Math.Max(best, 1e-4);
    }

    private static double Sample(Func<Tensor[]> side, int calls)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < calls; i++)
        {
            using var scope = NewDisposeScope();
            side();
        }
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds / calls;
    }

    private static void SettleGarbage()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
    }
}
