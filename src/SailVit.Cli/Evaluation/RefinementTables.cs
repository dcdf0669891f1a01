using System.Globalization;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation;
using Spectre.Console;

namespace SailVit.Cli.Evaluation;

/// <summary>Shows how the targets of a recipe compare.</summary>
internal static class RefinementTables
{
    public static void Show(IReadOnlyList<Arm> arms)
    {
        var measures = Arm.Measures(arms);
        var table = new Table().AddColumns(["target", "encoder from", .. measures.Select(m => Markup.Escape(m.Name))]);
        foreach (var arm in arms)
        {
            table.AddRow([Markup.Escape(arm.Name), Markup.Escape(arm.From), .. measures.Select(m => Text(arm.Interval(m.Of), m.Format))]);
        }
        Screen.Write(table);
    }

    private static string Text(Interval interval, string format) =>
        interval.Mean.ToString(format, CultureInfo.InvariantCulture) + (interval.HalfWidth is { } half ? " ± " + half.ToString(format, CultureInfo.InvariantCulture) : "");
}
