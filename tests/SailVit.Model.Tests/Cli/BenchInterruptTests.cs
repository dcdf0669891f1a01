using System.Diagnostics;
using SailVit.Bench.Reporting;
using Xunit;

namespace SailVit.Model.Tests.Cli;

/// <summary><c>sailvit bench</c>, stopped while it measures.</summary>
public sealed class BenchInterruptTests
{
    [Fact]
    public void Interrupted_ShowsAndWritesTheRowsMeasuredSoFar()
    {
        const int Terminate = 15;
        using var folder = new TempFolder();
        string json = folder.File("rows.json");
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Sailvit.Library, "bench", "ops", "--quick", "--dtype", "float32", "--json", json, "--record", "--results", folder.Path]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        // "4/120 op shape …" says that three are done.
        while (process.StandardError.ReadLine() is { } line && !line.StartsWith("4/", StringComparison.Ordinal))
        {
        }
        Assert.Equal(0, Sailvit.SendSignal(process.Id, Terminate));
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(130, process.ExitCode);
        var rows = BenchFiles.ReadJson(json);
        Assert.InRange(rows.Count, 3, 10);
        Assert.Contains($"sailvit: interrupted; {rows.Count} rows were measured, and nothing was recorded.", error, StringComparison.Ordinal);
        Assert.All(rows, row => Assert.Contains(row.Shape, output.Result, StringComparison.Ordinal));
        Assert.Equal([json], Directory.EnumerateFileSystemEntries(folder.Path));
    }
}
