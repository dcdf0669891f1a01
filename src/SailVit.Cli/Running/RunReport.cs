using System.Text.Json.Nodes;
using SailVit.Model.Refinement;
using ScottPlot;

namespace SailVit.Cli.Running;

/// <summary>The curves of a run, all stages one after the other, in one picture.</summary>
internal static class RunReport
{
    private const int Width = 1400, RowHeight = 330;

    private static readonly (string Title, Func<JsonObject, IEnumerable<KeyValuePair<string, JsonNode?>>> Values)[] Panels =
    [
        ("loss", record => record.Where(v => v.Key == "loss")),
        ("learning rate", record => record.Where(v => v.Key.StartsWith("lr/", StringComparison.Ordinal))),
        ("norm of the gradients", record => record.Where(v => v.Key == "grad_norm")),
        ("tokens per second", record => record.Where(v => v.Key == "tokens_per_second")),
    ];

    /// <summary>Draws the picture.</summary>
    /// <returns>Its path; null where no step was made yet.</returns>
    public static string? Save(RefinementRun run, string folder)
    {
        var stages = run.Stages.Select(s => (s.Stage.Name, Records: MetricsLog.Read(s.Folder.Path))).Where(s => s.Records.Count > 0).ToList();
        if (stages.Count == 0)
        {
            return null;
        }
        PlotFont.Use();
        var multiplot = new Multiplot();
        multiplot.AddPlots(Panels.Length);
        multiplot.Layout = new ScottPlot.MultiplotLayouts.Grid(Panels.Length / 2, 2);
        for (int i = 0; i < Panels.Length; i++)
        {
            Draw(multiplot.GetPlot(i), Panels[i].Title, Panels[i].Values, stages);
        }
        string path = Path.Combine(folder, "report.png");
        multiplot.SavePng(path, Width, Panels.Length / 2 * RowHeight);
        return path;
    }

    private static void Draw(Plot plot, string title, Func<JsonObject, IEnumerable<KeyValuePair<string, JsonNode?>>> values, IEnumerable<(string Name, IReadOnlyList<JsonObject> Records)> stages)
    {
        plot.YLabel(title);
        plot.XLabel("step");
        int start = 0;
        var colors = new Dictionary<string, Color>();
        foreach (var (name, records) in stages)
        {
            var line = plot.Add.VerticalLine(start);
            (line.Text, line.LabelOppositeAxis, line.Color, line.LinePattern) = (name, true, Colors.Gray, LinePattern.Dotted);
            line.LabelBackgroundColor = Colors.Transparent;
            line.LabelFontColor = Colors.Gray;
            // A number that was not finite is null in the log.
            foreach (var curve in records.SelectMany((record, i) => values(record).Where(v => v.Value is not null).Select(v => (v.Key, X: (double)(start + i), Y: v.Value!.GetValue<double>()))).GroupBy(v => v.Key))
            {
                bool first = colors.TryAdd(curve.Key, plot.Add.Palette.GetColor(colors.Count));
                var scatter = plot.Add.ScatterLine(curve.Select(v => v.X).ToArray(), curve.Select(v => v.Y).ToArray(), colors[curve.Key]);
                scatter.LegendText = first && curve.Key.Contains('/') ? curve.Key[(curve.Key.IndexOf('/') + 1)..] : "";
            }
            start += records.Count;
        }
        if (colors.Count > 1)
        {
            plot.ShowLegend(Alignment.UpperRight);
        }
        plot.Axes.SetLimitsX(0, Math.Max(start - 1, 1));
    }
}
