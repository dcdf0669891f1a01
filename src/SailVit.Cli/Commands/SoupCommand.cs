using System.CommandLine;
using System.Globalization;
using SailVit.Cli.Evaluation;
using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using SailVit.Model.Evaluation;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit soup</c>: the average of like-trained checkpoints.</summary>
internal static class SoupCommand
{
    public static Command Create()
    {
        var parts = new Argument<string[]>("parts") { Description = "Checkpoint folders of one architecture, trained from one another.", HelpName = "DIR", Arity = new ArgumentArity(2, 1000) };
        var output = new Option<string>("--output") { Description = "The new checkpoint folder; its other files are those of the first.", HelpName = "DIR", Required = true };
        var probe = new ProbeCliOptions(required: false);
        var json = EvalOptions.Json();
        var command = new Command("soup", "Average checkpoints; with --train and --test, probe the parts and the whole.") { parts, output, json };
        probe.AddTo(command);
        command.SetAction(result =>
        {
            using var interrupt = new Interrupt();
            string[] folders = EvalOptions.Distinct(result.GetValue(parts)!, parts.Name);
            string target = result.GetValue(output)!;
            // What is wrong with the images is said before the work.
            var study = probe.Study(result);
            SoupReport report = null!;
            JobProgress.Run("soup", Count(folders[0]), done => report = ModelSoup.Average(folders, target, done, interrupt.Token));
            Warn(report);
            Console.WriteLine($"{folders.Length} checkpoints → {target}");
            var results = study?.Run([.. folders, target], interrupt.Token);
            if (results is not null)
            {
                ProbeCliOptions.Show(results, study!.Tests);
            }
            EvalOptions.Write(result.GetValue(json), new { parts = folders, report.Distances, unlike = report.Unlike, results });
            return 0;
        });
        return command;
    }

    private static int Count(string folder)
    {
        using var checkpoint = Checkpoint.Open(folder);
        return checkpoint.Names.Count;
    }

    private static void Warn(SoupReport report)
    {
        foreach (var (name, distance) in report.Names.Zip(report.Distances))
        {
            string far = distance.ToString("P1", CultureInfo.InvariantCulture);
            Console.Error.WriteLine(report.Unlike.Contains(name)
                ? $"sailvit: warning: {name} is {far} from the mean, more than {SoupReport.AlikeWithin:P0}: such checkpoints were hardly trained from one another, and their average is likely to be worth nothing."
                : $"soup: {name} is {far} from the mean");
        }
    }
}
