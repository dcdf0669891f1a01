using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using SailVit.Bench;
using SailVit.Bench.Models;
using SailVit.Kernels.Dispatch;
using SailVit.Model.Encoders;
using static TorchSharp.torch;

namespace SailVit.Cli.Commands;

/// <summary>Peak memory of a training step, each side in a process of its own: a high-water mark never falls, so one side
/// would hide behind the other.</summary>
internal static class PeakMemory
{
    private const string Name = "peak-memory";

    /// <summary>Adds the columns to a row of a training step; other rows stay as they are.</summary>
    /// <param name="row">The row.</param>
    /// <param name="what">An encoder, or the op of a bench that has a memory of its own.</param>
    public static BenchRow AddTo(BenchRow row, string what) => row.Direction == Names.Of(Direction.ForwardBackward)
        ? row with { PeakMb = InChild(ModelBench.Side.Ours, what, row), BaselinePeakMb = InChild(ModelBench.Side.Stock, what, row) }
        : row;

    /// <summary>What the child process runs: prints one number. Not for users.</summary>
    public static Command ChildCommand()
    {
        var side = new Argument<ModelBench.Side>("side");
        var what = new Argument<string>("what");
        var dtype = new Argument<string>("dtype");
        var command = new Command(Name) { side, what, dtype };
        command.Hidden = true;
        command.SetAction(result =>
        {
            double megabytes = Measure(result.GetValue(side), result.GetValue(what)!, Names.DType(result.GetValue(dtype)!));
            Console.WriteLine(megabytes.ToString(CultureInfo.InvariantCulture));
        });
        return command;
    }

    private static double Measure(ModelBench.Side side, string what, ScalarType dtype) => TrainingBench.Peak(side, what, dtype)
        ?? (what == HeadLossBench.Op ? HeadLossBench.Peak(side, dtype) : ModelBench.PeakOfTraining(side, EncoderPresets.Get(what), dtype));

    private static double InChild(ModelBench.Side side, string what, BenchRow row)
    {
        var host = Environment.ProcessPath ?? throw new InvalidOperationException("The path of the running program is unknown; run sailvit itself, not from memory.");
        var start = new ProcessStartInfo(host) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(host) == "dotnet")
        {
            start.ArgumentList.Add(Environment.GetCommandLineArgs()[0]);
        }
        foreach (var argument in (string[])["bench", Name, side.ToString(), what, row.DType])
        {
            start.ArgumentList.Add(argument);
        }
        start.Environment[Dispatcher.BackendVariable] = row.Backend;
        using var child = Process.Start(start) ?? throw new InvalidOperationException($"{host} could not be started.");
        var errors = child.StandardError.ReadToEndAsync();
        var output = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        return child.ExitCode == 0 && double.TryParse(output, CultureInfo.InvariantCulture, out double megabytes)
            ? megabytes
            : throw new InvalidOperationException($"The process that measures peak memory ended with code {child.ExitCode} (137 means that memory ran out): {errors.Result.Trim()}");
    }
}
