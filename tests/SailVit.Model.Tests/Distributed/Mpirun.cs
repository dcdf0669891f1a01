using System.Diagnostics;
using Xunit;

namespace SailVit.Model.Tests.Distributed;

/// <summary>Starts programs under Open MPI's mpirun; skips the test where that is not installed.</summary>
internal static class Mpirun
{
    /// <summary>Runs a program to its end, or until <paramref name="meanwhile"/> has done something to it.</summary>
    /// <param name="ranks">Processes.</param>
    /// <param name="command">Program and arguments.</param>
    /// <param name="environment">Set for all processes; null removes a variable.</param>
    /// <param name="meanwhile">Gets mpirun's process.</param>
    public static (int Exit, string Out, string Error) Run(int ranks, IReadOnlyList<string> command, IReadOnlyDictionary<string, string?>? environment = null, Action<Process>? meanwhile = null)
    {
        string? launcher = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(p => Path.Combine(p, "mpirun")).FirstOrDefault(File.Exists);
        Assert.SkipUnless(launcher is not null, "mpirun (Open MPI) is not installed");
        string[] arguments = ["--allow-run-as-root", "--oversubscribe", "-n", $"{ranks}", .. command];
        var start = new ProcessStartInfo(launcher!, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        meanwhile?.Invoke(process);
        process.WaitForExit();
        return (process.ExitCode, output.Result, errors.Result);
    }

    /// <summary>The processes that mpirun started, in the order of their ranks.</summary>
    public static IReadOnlyList<int> Ranks(Process mpirun) =>
        [.. File.ReadAllText($"/proc/{mpirun.Id}/task/{mpirun.Id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
}
