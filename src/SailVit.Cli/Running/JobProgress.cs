using System.Diagnostics;
using Spectre.Console;

namespace SailVit.Cli.Running;

/// <summary>How far a job is and how long it will take, on standard error: a bar on a terminal, else a line now and then.</summary>
internal static class JobProgress
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    /// <summary>Runs a job that reports each finished item.</summary>
    /// <param name="what">Name of the job.</param>
    /// <param name="items">How many items there are.</param>
    /// <param name="job">The work; it is handed the function to report to.</param>
    /// <param name="start">Items that were finished before.</param>
    public static void Run(string what, int items, Action<Action<int>> job, int start = 0)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        if (!Console.IsErrorRedirected && console.Profile.Capabilities.Interactive)
        {
            console.Progress()
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
                .Start(context =>
                {
                    var task = context.AddTask(Markup.Escape(what), maxValue: Math.Max(items, 1));
                    task.Value = start;
                    job(done => task.Increment(done));
                });
            return;
        }
        var clock = Stopwatch.StartNew();
        var reported = TimeSpan.Zero;
        int done = start;
        job(more =>
        {
            done += more;
            if (clock.Elapsed - reported >= Quiet || done == items)
            {
                reported = clock.Elapsed;
                Console.Error.WriteLine($"{what}: {done} of {items}, {Show(clock.Elapsed)}{(done < items ? $", about {Show(clock.Elapsed / (done - start) * (items - done))} left" : "")}");
            }
        });
    }

    private static string Show(TimeSpan time) => time.TotalHours < 1 ? $"{time:m\\:ss}" : $"{(int)time.TotalHours}:{time:mm\\:ss}";
}
