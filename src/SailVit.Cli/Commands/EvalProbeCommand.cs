using System.CommandLine;
using SailVit.Cli.Evaluation;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation;
using Spectre.Console;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit eval probe</c>: how well classes can be read off frozen features.</summary>
internal static class EvalProbeCommand
{
    public static Command Create()
    {
        var weights = EvalOptions.Many("--weights", "Encoders: AIMv2, SAILViT, InternViT or SAIL-VL checkpoint folders.", "DIR");
        var probe = new ProbeCliOptions(required: true);
        var json = EvalOptions.Json();
        var command = new Command("probe", "Train a small classifier on frozen features and test it.") { weights, json };
        probe.AddTo(command);
        command.SetAction(result =>
        {
            using var interrupt = new Interrupt();
            var study = probe.Study(result)!;
            var results = study.Run(EvalOptions.Distinct(result.GetValue(weights)!, weights.Name), interrupt.Token);
            ProbeCliOptions.Show(results, study.Tests);
            EvalOptions.Write(result.GetValue(json), new { options = study.Probes, results });
            return 0;
        });
        return command;
    }
}
