using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using SailVit.Bench.Data;
using SailVit.Bench.Measuring;
using SailVit.Model.Checkpoints;

namespace SailVit.Bench.Reporting;

/// <summary>Writes rows as JSON and Markdown. Files are written beside and renamed: never half a file.</summary>
public static class BenchFiles
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>An array of rows.</summary>
    public static void WriteJson(string path, IReadOnlyList<BenchRow> rows) => Write(path, JsonSerializer.Serialize(rows, Json) + "\n");

    /// <summary>Reads what <see cref="WriteJson"/> wrote.</summary>
    public static IReadOnlyList<BenchRow> ReadJson(string path) => JsonSerializer.Deserialize<BenchRow[]>(File.ReadAllText(path), Json) ?? [];

    /// <summary>Records a run under <paramref name="folder"/>/&lt;processor&gt;: &lt;kind&gt;.json, &lt;kind&gt;.md and versions.txt.
    /// <paramref name="kind"/> is what was asked of <c>sailvit bench</c>: <c>ops</c>, or <c>ops --dtype float16</c>, recorded as ops-float16.</summary>
    /// <returns>The folder written to.</returns>
    public static string Record(string folder, string kind, IReadOnlyList<BenchRow> rows, Machine machine, Limits limits)
    {
        ArgumentNullException.ThrowIfNull(machine);
        return Record(folder, kind, rows, Markdown(kind, rows, machine, limits), machine);
    }

    /// <summary>Records how fast data is made, as <see cref="Record(string, string, IReadOnlyList{BenchRow}, Machine, Limits)"/> does.</summary>
    public static string Record(string folder, IReadOnlyList<DataBench.Row> rows, Machine machine)
    {
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(machine);
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"# Benchmarks: data\n\n```\n{string.Join('\n', machine.Lines())}\n```\n\n");
        text.Append("JPEG files to packed batches: decoded, cut into tiles of 448 px (with a thumbnail where there are several), resized, laid end to end with their tokens; medians. `sailvit bench data --record` repeats this.\n\n");
        Line(text, DataHeader);
        Line(text, Enumerable.Repeat("---:", DataHeader.Length));
        foreach (var row in rows)
        {
            Line(text, DataCells(row));
        }
        return Record(folder, "data", rows, text.ToString(), machine);
    }

    /// <summary>The columns of a table of <see cref="DataCells"/>.</summary>
    public static string[] DataHeader { get; } = ["JPEG", "most tiles", "images/s", "tiles/s"];

    /// <summary>A row as tables show it.</summary>
    public static string[] DataCells(DataBench.Row row)
    {
        ArgumentNullException.ThrowIfNull(row);
        return [.. new[] { $"{row.Width}x{row.Height}", $"{row.MaxTiles}" }, .. new[] { row.ImagesPerSecond, row.TilesPerSecond }.Select(n => n.ToString("f0", CultureInfo.InvariantCulture))];
    }

    private static string Record<T>(string folder, string kind, IReadOnlyList<T> rows, string markdown, Machine machine)
    {
        var target = Path.Combine(folder, machine.Slug);
        Directory.CreateDirectory(target);
        string name = kind.Replace(" --dtype ", "-", StringComparison.Ordinal).Replace(" --backend ", "-", StringComparison.Ordinal);
        Write(Path.Combine(target, $"{name}.json"), JsonSerializer.Serialize(rows, Json) + "\n");
        Write(Path.Combine(target, $"{name}.md"), markdown);
        // Of the processor's rows: a device is named above its own.
        Write(Path.Combine(target, "versions.txt"), string.Join('\n', (machine with { OpenClDevice = null }).Lines()) + "\n");
        return target;
    }

    /// <summary>The table with what is needed to read it.</summary>
    public static string Markdown(string kind, IReadOnlyList<BenchRow> rows, Machine machine, Limits limits)
    {
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentNullException.ThrowIfNull(limits);
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"# Benchmarks: {kind}\n\n```\n{string.Join('\n', machine.Lines())}\n");
        text.Append(CultureInfo.InvariantCulture, $"limits      {limits}\n```\n\n");
        text.Append(CultureInfo.InvariantCulture, $"Ours against stock TorchSharp in the same process, strictly in turn, medians. Errors are relative to float64. `sailvit bench {kind} --record` repeats this.\n\n");
        bool memory = rows.Any(r => r.PeakMb is not null);
        Line(text, ["op", "shape", "dtype", "direction", "ms", "baseline ms", "speed-up", "of limit", "error", "baseline error", .. memory ? ["peak MB", "baseline peak MB"] : Array.Empty<string>(), "baseline"]);
        Line(text, [.. Enumerable.Repeat("---", 4), .. Enumerable.Repeat("---:", memory ? 8 : 6), "---"]);
        foreach (var row in rows)
        {
            Line(text, [row.Op, row.Shape, row.DType, row.Direction, .. Numbers(row, memory), row.Baseline]);
        }
        return text.ToString();
    }

    /// <summary>The numbers of a row as tables show them.</summary>
    public static IEnumerable<string> Numbers(BenchRow row, bool memory)
    {
        ArgumentNullException.ThrowIfNull(row);
        yield return Milliseconds(row.Ms);
        yield return Milliseconds(row.BaselineMs);
        yield return string.Create(CultureInfo.InvariantCulture, $"{row.Speedup:f2} ×");
        yield return string.Create(CultureInfo.InvariantCulture, $"{row.FractionOfLimit:p0}");
        yield return Error(row.RelError);
        yield return Error(row.BaselineRelError);
        if (memory)
        {
            yield return row.PeakMb?.ToString("f0", CultureInfo.InvariantCulture) ?? "";
            yield return row.BaselinePeakMb?.ToString("f0", CultureInfo.InvariantCulture) ?? "";
        }
    }

    private static string Milliseconds(double ms) => ms.ToString(ms < 1 ? "f4" : ms < 100 ? "f2" : "f0", CultureInfo.InvariantCulture);

    private static string Error(double? error) => error?.ToString("0.0e-0", CultureInfo.InvariantCulture) ?? "";

    private static void Line(StringBuilder text, IEnumerable<string> cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");

    private static void Write(string path, string text) => Files.WriteAtomically(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));
}
