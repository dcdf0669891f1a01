using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using SailVit.Cli.Doctor;
using Spectre.Console;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit doctor</c>: what was found, what is used and why, and whether every op agrees with stock ops.</summary>
internal static class DoctorCommand
{
    private const int WideEnough = 200;

    private static readonly Option<bool> Json = new("--json") { Description = "Print the report as JSON." };

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        // For people and scripts, not for a web page: an apostrophe stays one.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    public static Command Create()
    {
        var command = new Command("doctor", "Say which libtorch, processor features and backends are in use, and test every op against stock ops.") { Json };
        command.SetAction(result =>
        {
            var diagnosis = Diagnosis.Make();
            if (result.GetValue(Json))
            {
                Console.WriteLine(JsonSerializer.Serialize(diagnosis, Format));
            }
            else
            {
                Print(diagnosis);
            }
            return diagnosis.Passed ? 0 : 1;
        });
        return command;
    }

    private static void Print(Diagnosis diagnosis)
    {
        if (!AnsiConsole.Profile.Capabilities.Interactive)
        {
            // Into a file or a pipe: paths are not folded to 80 columns.
            AnsiConsole.Profile.Width = WideEnough;
        }
        foreach (var topic in diagnosis.Findings.GroupBy(f => f.Topic))
        {
            var grid = new Grid().AddColumn(new GridColumn().NoWrap().Width(18)).AddColumn();
            foreach (var finding in topic)
            {
                grid.AddRow(Markup.Escape($"  {finding.Name}"), Markup.Escape(finding.Value));
            }
            AnsiConsole.MarkupLine($"[bold]{topic.Key}[/]");
            AnsiConsole.Write(grid);
        }
        AnsiConsole.MarkupLine("[bold]ops[/]  relative error against float64, forward and backward");
        var table = new Table().Border(TableBorder.Simple).AddColumns("op", "dtype", "computed by").AddColumn(new TableColumn("error").RightAligned()).AddColumn(new TableColumn("stock").RightAligned()).AddColumn("");
        foreach (var op in diagnosis.Ops)
        {
            table.AddRow(op.Op, op.DType, Markup.Escape(op.Backend), Number(op.Error), Number(op.StockError), op.Passed ? "[green]ok[/]" : $"[red]{Markup.Escape(op.Failure ?? "wrong")}[/]");
        }
        AnsiConsole.Write(table);
        AnsiConsole.MarkupLine(diagnosis.Passed ? "[green]All ops agree with stock TorchSharp.[/]" : $"[red]{diagnosis.Ops.Count(o => !o.Passed)} of {diagnosis.Ops.Count} checks failed.[/]");
    }

    private static string Number(double value) => value.ToString("0.0e+00", CultureInfo.InvariantCulture);
}
