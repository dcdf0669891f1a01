using System.Diagnostics;
using Spectre.Console;

namespace SailVit.Cli.Running;

/// <summary>How far a job is and how long it will take, on standard error: a bar on a terminal, else a line now and then.</summary>
internal static class JobProgress
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    /// <summary>Runs a job that reports each finished item.</summary>
    public static void Run(string what, int items, Action<Action<int>> job)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        if (!Console.IsErrorRedirected && console.Profile.Capabilities.Interactive)
        {
            console.Progress()
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
                .Start(context =>
                {
                    var task = context.AddTask(Markup.Escape(what), maxValue: Math.Max(items, 1));
                    job(done => task.Increment(done));
                });
            return;
        }
        var clock = Stopwatch.StartNew();
        var reported = TimeSpan.Zero;
        int done = 0;
        job(more =>
        {
            done += more;
            if (clock.Elapsed - reported >= Quiet || done == items)
            {
                reported = clock.Elapsed;
                Console.Error.WriteLine($"{what}: {done} of {items}, {Show(clock.Elapsed)}{(done < items ? $", about {Show(clock.Elapsed / done * (items - done))} left" : "")}");
            }
        });
    }

    private static string Show(TimeSpan time) => time.TotalHours < 1 ? $"{time:m\\:ss}" : $"{(int)time.TotalHours}:{time:mm\\:ss}";
}
