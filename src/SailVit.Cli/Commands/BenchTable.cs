using SailVit.Bench;
using SailVit.Bench.Reporting;
using Spectre.Console;

namespace SailVit.Cli.Commands;

/// <summary>Shows rows while they are measured, with the time left.</summary>
internal static class BenchTable
{
    private const int WideEnough = 200;

    /// <summary>Runs the measurement and returns its rows; interrupted, those that there are.</summary>
    /// <param name="measure">Yields rows and reports progress.</param>
    /// <param name="finish">Applied to every row at the end.</param>
    /// <param name="memory">Adds the columns of peak memory.</param>
    /// <param name="cancel">Ends the measurement.</param>
    public static IReadOnlyList<BenchRow> Show(Func<Action<BenchProgress>, IEnumerable<BenchRow>> measure, Func<BenchRow, BenchRow> finish, bool memory, CancellationToken cancel)
    {
        var table = Empty(memory);
        List<BenchRow> rows = [];
        if (!AnsiConsole.Profile.Capabilities.Interactive)
        {
            // Into a file or a pipe: progress goes to standard error, the table comes once and is not folded to 80 columns.
            AnsiConsole.Profile.Width = WideEnough;
            rows = [.. Until(measure(p => Console.Error.WriteLine(Describe(p))), cancel).ToList().Select(finish)];
            rows.ForEach(row => Add(table, row, memory));
            AnsiConsole.Write(table);
            return rows;
        }
        AnsiConsole.Live(table).Start(live =>
        {
            void Progress(BenchProgress p)
            {
                table.Caption(Markup.Escape(Describe(p)));
                live.Refresh();
            }
            foreach (var row in Until(measure(Progress), cancel))
            {
                rows.Add(row);
                Add(table, row, memory);
                live.Refresh();
            }
            rows = rows.ConvertAll(finish.Invoke);
            table.Rows.Clear();
            rows.ForEach(row => Add(table, row, memory));
        });
        return rows;
    }

    private static IEnumerable<BenchRow> Until(IEnumerable<BenchRow> rows, CancellationToken cancel)
    {
        using var source = rows.GetEnumerator();
        while (Next())
        {
            yield return source.Current;
        }

        bool Next()
        {
            try
            {
                return source.MoveNext();
            }
            // The process that measures memory gets the signal as well, and fails.
            catch (Exception e) when (cancel.IsCancellationRequested && e is OperationCanceledException or InvalidOperationException)
            {
                return false;
            }
        }
    }

    private static Table Empty(bool memory)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumns("op", "shape", "dtype", "direction");
        foreach (var name in (string[])["ms", "baseline", "speed-up", "of limit", "error", "baseline", .. memory ? ["peak MB", "baseline"] : Array.Empty<string>()])
        {
            table.AddColumn(new TableColumn(name).RightAligned());
        }
        return table.AddColumn("baseline ops");
    }

    private static void Add(Table table, BenchRow row, bool memory)
    {
        var cells = BenchFiles.Numbers(row, memory).Select(Markup.Escape).ToArray();
        // The speed-up: losses stand out.
        cells[2] = row.Speedup < 1 ? $"[red]{cells[2]}[/]" : $"[green]{cells[2]}[/]";
        table.AddRow([Markup.Escape(row.Op), Markup.Escape(row.Shape), row.DType, row.Direction, .. cells, Markup.Escape(row.Baseline)]);
    }

    private static string Describe(BenchProgress p) => p.Next.Length == 0
        ? $"{p.Done} measured"
        : $"{p.Done + 1}/{p.Total} {p.Next}{(p.Left is { } left ? $", about {left:m\\:ss} left" : "")}";
}
