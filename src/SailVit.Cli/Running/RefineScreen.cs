using System.Diagnostics;
using System.Globalization;
using SailVit.Model.Refinement;
using Spectre.Console;

namespace SailVit.Cli.Running;

/// <summary>Shows a refinement run on standard error: a bar for each stage on a terminal, else a line now and then.</summary>
internal sealed class RefineScreen : IRefinementObserver
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    private readonly ProgressContext? _bars;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private ProgressTask? _bar;
    private TimeSpan _shown = -Quiet;

    private RefineScreen(ProgressContext? bars) => _bars = bars;

    /// <summary>Runs a job and shows it.</summary>
    public static bool Run(Func<IRefinementObserver, bool> job)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return Console.IsErrorRedirected || !console.Profile.Capabilities.Interactive
            ? job(new RefineScreen(null))
            : console.Progress()
                .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
                .Start(bars => job(new RefineScreen(bars)));
    }

    public void Begin(StagePlan plan)
    {
        string line = $"stage {plan.Number} of {plan.Of}, {plan.Name}: trains {Short(plan.Parameters)} of {Short(plan.AllParameters)} parameters in {plan.Steps:N0} steps on {plan.Samples:N0} samples{(plan.FirstStep > 0 ? $", goes on at step {plan.FirstStep:N0}" : "")}";
        if (_bars is null)
        {
            Console.Error.WriteLine(line);
            return;
        }
        _bar = _bars.AddTask(Markup.Escape(line), maxValue: plan.Steps);
        _bar.Increment(plan.FirstStep);
    }

    public void Step(StageProgress progress)
    {
        string numbers = Numbers(progress);
        if (_bar is not null)
        {
            _bar.Description = Markup.Escape($"{progress.Plan.Number}/{progress.Plan.Of} {progress.Plan.Name}  {numbers}");
            _bar.Increment(1);
            return;
        }
        bool last = progress.Step.Step == progress.Plan.Steps - 1;
        if (_clock.Elapsed - _shown >= Quiet || last || progress.Step.Skipped)
        {
            _shown = _clock.Elapsed;
            Console.Error.WriteLine($"{progress.Plan.Name}: step {progress.Step.Step + 1:N0} of {progress.Plan.Steps:N0}, {numbers}{(last ? "" : $", about {Time(progress.Remaining)} left")}");
        }
    }

    public void End(StageSummary summary, bool now)
    {
        string skipped = summary.SkippedSamples.Count == 0 ? "" : $"; samples not used: {string.Join(", ", summary.SkippedSamples.Select(s => $"{s.Value.Count:N0} {s.Key}"))} (the first of them: summary.json)";
        string bad = summary.BadSteps == 0 ? "" : $"; {summary.BadSteps:N0} steps skipped (no finite loss, or no token to learn), see bad-batches";
        string line = $"{summary.Stage}: finished{(now ? "" : " before")}, {summary.Steps:N0} steps{skipped}{bad}";
        if (_bars is null)
        {
            Console.Error.WriteLine(line);
            return;
        }
        _bar ??= _bars.AddTask("");
        _bar.Description = Markup.Escape(line);
        _bar.Value = _bar.MaxValue;
        _bar = null;
    }

    private static string Numbers(StageProgress progress) => string.Create(CultureInfo.InvariantCulture,
        $"{(progress.Step.Skipped ? "SKIPPED, " : "")}loss {progress.Step.Loss:F4}, {string.Join(", ", progress.LearningRates.Select(r => string.Create(CultureInfo.InvariantCulture, $"{r.Key} {r.Value:0.0e-0}")))}, norm {progress.Step.GradientNorm:G3}, {progress.TokensPerSecond:N0} tokens/s, {progress.ImagesPerSecond:N1} images/s{(progress.Utilization is { } share ? $", MFU {share:P1}" : "")}");

    private static string Short(long count) => count < 10_000 ? $"{count:N0}" : count < 1_000_000 ? $"{count / 1e3:N0} k" : count < 1_000_000_000 ? $"{count / 1e6:N1} M" : $"{count / 1e9:N2} G";

    private static string Time(TimeSpan time) => time.TotalHours < 1 ? $"{time:m\\:ss}" : $"{(int)time.TotalHours}:{time:mm\\:ss}";
}
