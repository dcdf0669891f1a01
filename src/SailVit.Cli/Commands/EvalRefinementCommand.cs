using System.CommandLine;
using SailVit.Cli.Evaluation;
using SailVit.Cli.Running;
using SailVit.Model.Refinement;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit eval refinement</c>: the targets of a recipe against each other, over all its seeds.</summary>
internal static class EvalRefinementCommand
{
    public static Command Create()
    {
        var path = new Option<string>("--recipe") { Description = "The recipe that was run.", HelpName = "FILE", Required = true };
        var runs = new Option<string?>("--run") { Description = "Folder of its run (default runs/<name of the recipe>).", HelpName = "DIR" };
        var data = new Option<string>("--data") { Description = "Questions in VLMEvalKit's form.", HelpName = "FILE.tsv", Required = true };
        var set = new Option<string?>("--set") { Description = "Which set they are like, where the file's name does not say it.", HelpName = "NAME" };
        var images = EvalOptions.Many("--images", "Images for the distances between features and words; without them none are measured.", "DIR|FILE", required: false);
        var count = new Option<int>("--count") { Description = "How many of the images are taken.", DefaultValueFactory = _ => 5 };
        var tokens = new Option<int>("--max-new-tokens") { Description = "Most tokens of an answer.", DefaultValueFactory = _ => 8 };
        var batch = new Option<int>("--batch-size") { Description = "Questions answered at once.", DefaultValueFactory = _ => 64 };
        var output = new Option<string>("--output") { Description = "Folder for answers, results.json and results.png; the same command goes on with what is there.", HelpName = "DIR", Required = true };
        var command = new Command("refinement", "Compare the targets of a recipe: answers to questions, distances between features and words, over all its seeds.")
        {
            path, runs, data, set, images, count, tokens, batch, output,
        };
        command.SetAction(result =>
        {
            if (result.GetValue(batch) < 1 || result.GetValue(tokens) < 1)
            {
                throw new ArgumentException("--batch-size and --max-new-tokens must be at least 1.");
            }
            using var interrupt = new Interrupt();
            var recipe = RecipeFile.Read(result.GetValue(path)!);
            var study = new RefinementStudy
            {
                Runs = recipe.Runs(result.GetValue(runs) ?? Path.Combine("runs", recipe.Name)),
                Task = VqaTask.Open([result.GetValue(data)!], result.GetValue(set) is { } name ? [name] : [], [], [])[0],
                Images = result.GetValue(images) is { Length: > 0 } given ? FeatureStudy.Sample(PixelInput.Images(given), result.GetValue(count), seed: 0) : [],
                MaxNewTokens = result.GetValue(tokens),
                BatchSize = result.GetValue(batch),
                Output = result.GetValue(output)!,
            };
            var arms = study.Run(interrupt.Token);
            RefinementTables.Show(arms);
            EvalOptions.Write(Path.Combine(study.Output, "results.json"), new { recipe = recipe.Name, questions = study.Task.Questions.Count, arms });
            Console.WriteLine(RefinementPlots.Save(arms, study.Output));
            return 0;
        });
        return command;
    }
}
