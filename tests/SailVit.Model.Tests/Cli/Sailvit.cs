using System.Diagnostics;

namespace SailVit.Model.Tests.Cli;

/// <summary>Runs the command as its users do: another process, exit code and output streams.</summary>
internal static class Sailvit
{
    // artifacts/bin/<project>/<configuration>/
    private static readonly string Library = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "SailVit.Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "sailvit.dll"));

    public static (int Exit, string Out, string Error) Run(params IEnumerable<string> args)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Library, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
