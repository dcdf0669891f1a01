using System.CommandLine;
using SailVit.Cli.Running;
using SailVit.Model.Distributed;
using SailVit.Model.Refinement;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit refine</c>: gradual feature refinement by a recipe.</summary>
internal static class RefineCommand
{
    // As a shell reports a job that an interrupt ended.
    private const int Interrupted = 130;

    private static readonly Option<string> RecipePath = new("--recipe") { Description = "The recipe, YAML or JSON; paths in it are relative to it.", HelpName = "FILE", Required = true };

    private static readonly Option<string?> Output = new("--output") { Description = "Folder of the run (default runs/<name of the recipe>). A run that is there goes on.", HelpName = "DIR" };

    private static readonly Option<string?> Stage = new("--stage") { Description = "End after this stage (default: the last).", HelpName = "NAME" };

    private static readonly Option<int?> Seed = new("--seed") { Description = "Instead of the recipe's seed, that of the target included; one of its seeds alone where it has several." };

    private static readonly Option<double?> Peak = new("--peak-tflops")
    {
        Description = "What the machine can compute at its best, in TFLOP/s, two operations per multiply-add; shows what share of it the training uses (MFU).",
        HelpName = "RATE",
    };

    private static readonly Option<ReplicaKind> Replicas = new("--replicas")
    {
        Description = "How processes that train together reach each other: auto (over Open MPI where its mpirun started them) or mpi.",
        HelpName = "KIND",
    };

    public static Command Create()
    {
        var command = new Command("refine", "Refine an encoder in stages, by a recipe; an interrupted run goes on.") { RecipePath, Output, Stage, Seed, Peak, Replicas };
        command.SetAction(result => ReplicaProcess.Run(result.GetValue(Replicas), (replicas, cancel) =>
        {
            if (result.GetValue(Peak) is { } peak && !(peak > 0 && double.IsFinite(peak)))
            {
                throw new ArgumentException($"--peak-tflops is {peak}; it must be above 0.");
            }
            var recipe = RecipeFile.Read(result.GetValue(RecipePath)!);
            if (result.GetValue(Seed) is < 0 and var seed)
            {
                throw new ArgumentException($"--seed is {seed}; it must be at least 0.");
            }
            foreach (var (one, folder) in recipe.Runs(result.GetValue(Output) ?? Path.Combine("runs", recipe.Name), result.GetValue(Seed)))
            {
                if (!Run(one, folder, result, replicas, cancel))
                {
                    if (replicas.Rank == 0)
                    {
                        Console.Error.WriteLine($"sailvit: interrupted; the run is saved. The same command goes on from here.");
                    }
                    return Interrupted;
                }
            }
            return 0;
        }));
        return command;
    }

    private static bool Run(Recipe recipe, string folder, ParseResult result, IReplicas replicas, CancellationToken cancel)
    {
        var run = new RefinementRun(recipe, folder, replicas, result.GetValue(Peak) * 1e12);
        if (replicas.Rank > 0)
        {
            return run.Run(null, result.GetValue(Stage), cancel);
        }
        bool finished = RefineScreen.Run(observer => run.Run(observer, result.GetValue(Stage), cancel));
        string? report = RunReport.Save(run, folder);
        if (!finished)
        {
            return false;
        }
        foreach (var (stage, stageFolder) in run.Stages.Where(s => s.Folder.Summary is not null))
        {
            Console.WriteLine($"{stage.Name}: {stageFolder.Model}");
        }
        if (Directory.Exists(run.EncoderFolder))
        {
            Console.WriteLine($"refined encoder: {run.EncoderFolder}");
        }
        Console.WriteLine($"curves: {report ?? "none, no step was made"}");
        return true;
    }
}
