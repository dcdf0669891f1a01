using System.CommandLine;

namespace SailVit.Cli.Commands;

/// <summary><c>sailvit eval</c>: how good an encoder, or a model with it, is.</summary>
internal static class EvalCommand
{
    public static Command Create() => new("eval", "Evaluate encoders and multimodal models.")
    {
        EvalFeaturesCommand.Create(),
        EvalProbeCommand.Create(),
        EvalVqaCommand.Create(),
        EvalRefinementCommand.Create(),
    };
}
