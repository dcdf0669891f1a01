using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using ScottPlot;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Evaluation;

/// <summary>The clouds of image features and word vectors, one picture per language model and encoder, and one with all encoders.</summary>
internal static class ScatterPlots
{
    private const int Width = 900, Height = 700;

    // More points make a picture slow to draw and no clearer.
    private const long MostPoints = 4000;

    /// <summary>Writes the pictures.</summary>
    /// <returns>Their paths.</returns>
    public static List<string> Save(FeatureStudy study, string folder)
    {
        PlotFont.Use();
        SailVit.Model.Checkpoints.Files.CreateFolder(folder);
        var paths = new List<string>();
        string[] encoders = ShortNames(study.Encoders), languages = ShortNames(study.Languages);
        for (int l = 0; l < languages.Length; l++)
        {
            var words = study.Clouds.Words[study.Languages[l]];
            var all = encoders.Select((name, e) => (name, study.Clouds.Images[study.Encoders[e]])).ToList();
            foreach (var one in all)
            {
                paths.Add(Save(Path.Combine(folder, $"{languages[l]}-{one.name}.png"), languages[l], words, [one]));
            }
            if (all.Count > 1)
            {
                paths.Add(Save(Path.Combine(folder, $"{languages[l]}-all.png"), languages[l], words, all));
            }
        }
        return paths;
    }

    /// <summary>Names of the folders without what is above them, told apart where they are the same.</summary>
    public static string[] ShortNames(IReadOnlyList<string> folders)
    {
        string[] names = [.. folders.Select(f => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(f))))];
        return [.. names.Select((name, i) => names.Count(n => n == name) == 1 ? name : $"{name}-{i + 1}")];
    }

    private static string Save(string path, string language, Tensor words, IReadOnlyList<(string Name, Tensor Points)> encoders)
    {
        var plot = new Plot();
        plot.Title($"{string.Join(", ", encoders.Select(e => e.Name))} and the words of {language}");
        plot.XLabel("first principal component");
        plot.YLabel("second principal component");
        Add(plot, "words", words);
        foreach (var (name, points) in encoders)
        {
            Add(plot, name, points);
        }
        plot.ShowLegend();
        byte[] png = plot.GetImageBytes(Width, Height, ImageFormat.Png);
        Files.WriteAtomically(path, stream => stream.Write(png));
        return path;
    }

    private static void Add(Plot plot, string name, Tensor points)
    {
        using var scope = NewDisposeScope();
        long step = Math.Max(1, (points.shape[0] + MostPoints - 1) / MostPoints);
        var shown = points.slice(0, 0, points.shape[0], step).contiguous();
        var scatter = plot.Add.ScatterPoints(shown.select(1, 0).contiguous().data<double>().ToArray(), shown.select(1, 1).contiguous().data<double>().ToArray());
        scatter.MarkerSize = 3;
        scatter.LegendText = name;
    }
}
