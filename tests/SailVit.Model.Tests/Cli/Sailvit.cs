using System.Diagnostics;
using System.Runtime.InteropServices;

namespace SailVit.Model.Tests.Cli;

/// <summary>Runs the command as its users do: another process, exit code and output streams.</summary>
internal static partial class Sailvit
{
    // artifacts/bin/<project>/<configuration>/
    public static readonly string Library = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "SailVit.Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "sailvit.dll"));

    /// <summary>Starts the command, waits for a file that it makes, and sends it a signal.</summary>
    /// <returns>The exit code and what was said; null where the command was through before.</returns>
    public static (int Exit, string Error)? Kill(int signal, string onceThereIs, params IEnumerable<string> args)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Library, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync(); // drained, or a full pipe would stop it
        while (!File.Exists(onceThereIs) && !process.HasExited)
        {
            Thread.Sleep(1);
        }
        _ = SendSignal(process.Id, signal);
        process.WaitForExit();
        return process.ExitCode == 0 ? null : (process.ExitCode, error.Result);
    }

    /// <summary>Starts the command and kills it after a while, if it is not through before.</summary>
    public static void RunFor(TimeSpan limit, params IEnumerable<string> args)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Library, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (!process.WaitForExit(limit))
        {
            process.Kill();
        }
        process.WaitForExit();
    }

    // At once: a process of its own for it would be late.
    [LibraryImport("libc", EntryPoint = "kill")]
    public static partial int SendSignal(int process, int signal);

    public static (int Exit, string Out, string Error) Run(params IEnumerable<string> args)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Library, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
