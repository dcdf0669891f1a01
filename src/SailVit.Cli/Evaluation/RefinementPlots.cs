using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using ScottPlot;

namespace SailVit.Cli.Evaluation;

/// <summary>Pictures of how the targets of a recipe compare; bars are means over seeds, whiskers Student's 95 % intervals.</summary>
internal static class RefinementPlots
{
    private const int PanelWidth = 330, RowHeight = 18, Margin = 60, Columns = 4;

    /// <summary>Writes the picture: a panel for each number, a bar for each target.</summary>
    /// <returns>Its path.</returns>
    public static string Save(IReadOnlyList<Arm> arms, string folder)
    {
        PlotFont.Use();
        var measures = Arm.Measures(arms);
        var multiplot = new Multiplot();
        multiplot.AddPlots(measures.Count);
        int columns = Math.Min(Columns, measures.Count), rows = (measures.Count + columns - 1) / columns;
        multiplot.Layout = new ScottPlot.MultiplotLayouts.Grid(rows, columns);
        for (int i = 0; i < measures.Count; i++)
        {
            Bars(multiplot.GetPlot(i), measures[i].Name, arms, measures[i].Of);
        }
        byte[] png = multiplot.Render(columns * PanelWidth, rows * (Margin + (arms.Count * RowHeight))).GetImageBytes(ImageFormat.Png);
        string path = Path.Combine(folder, "results.png");
        Files.WriteAtomically(path, stream => stream.Write(png));
        return path;
    }

    private static void Bars(Plot plot, string title, IReadOnlyList<Arm> arms, Func<ArmResult, double> measure)
    {
        plot.Title(title, size: 14);
        var intervals = arms.Select(arm => arm.Interval(measure)).ToList();
        var names = arms.Select(arm => arm.Name).Distinct().ToList();
        // The first on top.
        var bars = plot.Add.Bars(arms.Select((arm, i) => new Bar
        {
            Position = arms.Count - 1 - i,
            Value = intervals[i].Mean,
            Error = intervals[i].HalfWidth ?? 0,
            FillColor = plot.Add.Palette.GetColor(names.IndexOf(arm.Name)),
        }).ToArray());
        bars.Horizontal = true;
        plot.Axes.Left.SetTicks([.. arms.Select((_, i) => (double)(arms.Count - 1 - i))], [.. arms.Select(arm => $"{arm.Name}, {arm.From}")]);
        plot.Axes.SetLimitsY(-0.7, arms.Count - 0.3);
        plot.Axes.SetLimitsX(0, 1.05 * Math.Max(intervals.Max(i => i.Mean + (i.HalfWidth ?? 0)), 1e-9));
    }
}
