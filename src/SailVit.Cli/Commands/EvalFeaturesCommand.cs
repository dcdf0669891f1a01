using System.CommandLine;
using System.Globalization;
using SailVit.Cli.Evaluation;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation;
using Spectre.Console;
using static TorchSharp.torch;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit eval features</c>: the distance between image features and word vectors.</summary>
internal static class EvalFeaturesCommand
{
    public static Command Create()
    {
        var weights = EvalOptions.Many("--weights", "Encoders: AIMv2, SAILViT, InternViT or SAIL-VL checkpoint folders.", "DIR");
        var language = EvalOptions.Many("--language", "Language models, or SAIL-VL checkpoints with one: folders whose embedding table is read.", "DIR");
        var images = EvalOptions.Many("--images", "Images and folders of images.", "DIR|FILE");
        var count = new Option<int>("--count") { Description = "How many of the images are taken, drawn by --seed.", DefaultValueFactory = _ => 5 };
        var seed = new Option<int>("--seed") { Description = "Seed of the draw.", DefaultValueFactory = _ => 0 };
        var connector = new Option<bool>("--connector") { Description = "Take connector outputs rather than the encoder's own; needs SAIL-VL checkpoints." };
        var wasserstein = new Option<WassersteinKind>("--wasserstein") { Description = "Variant: sliced (mean over 64 directions) or axes (mean over the two).", DefaultValueFactory = _ => WassersteinKind.Sliced };
        var standardise = new Option<bool>("--standardise") { Description = "Divide both clouds by their joint standard deviation." };
        var dtype = EvalOptions.DType();
        var output = new Option<string?>("--output") { Description = "Folder for scatter plots.", HelpName = "DIR" };
        var json = EvalOptions.Json();
        var command = new Command("features", "Distances between image features and word vectors in the plane of their principal components.")
        {
            weights, language, images, count, seed, connector, wasserstein, standardise, dtype, output, json,
        };
        command.SetAction(result =>
        {
            using var interrupt = new Interrupt();
            using var study = new FeatureStudy
            {
                Encoders = EvalOptions.Distinct(result.GetValue(weights)!, weights.Name),
                Languages = EvalOptions.Distinct(result.GetValue(language)!, language.Name),
                Images = FeatureStudy.Sample(PixelInput.Images(result.GetValue(images)!), result.GetValue(count), result.GetValue(seed)),
                Connector = result.GetValue(connector),
                DType = EvalOptions.DType(result, dtype),
                Distance = new(result.GetValue(wasserstein), result.GetValue(standardise)),
            };
            study.Run(interrupt.Token);
            Show(study.Pairs);
            EvalOptions.Write(result.GetValue(json), new { images = study.Images, options = study.Distance, connector = study.Connector, pairs = study.Pairs });
            if (result.GetValue(output) is { } folder)
            {
                Console.WriteLine($"{ScatterPlots.Save(study, folder).Count} plots → {folder}");
            }
            return 0;
        });
        return command;
    }

    private static void Show(IReadOnlyList<FeaturePair> pairs)
    {
        var table = new Table().AddColumns("language model", "encoder", "tokens", "words", "nearest neighbour", "Wasserstein", "overall");
        string Number(double value) => value.ToString("0.000", CultureInfo.InvariantCulture);
        foreach (var p in pairs)
        {
            table.AddRow(Markup.Escape(p.Language), Markup.Escape(p.Encoder), $"{p.Tokens}", $"{p.Words}", Number(p.NearestNeighbour), Number(p.Wasserstein), Number(p.Overall));
        }
        Screen.Write(table);
    }
}
