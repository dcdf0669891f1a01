using System.CommandLine;
using System.CommandLine.Parsing;
using SailVit.Kernels.Dispatch;

namespace SailVit.Cli.Running;

/// <summary><c>--backend</c>: where the library's ops run.</summary>
internal static class BackendOption
{
    public static Option<string?> Create() => new("--backend") { Description = "Force a backend: auto, cpu, cuda, opencl.", HelpName = "NAME" };

    /// <summary>Forces the backend until disposed; without the option, the environment's choice holds.</summary>
    public static IDisposable Use(ParseResult result, Option<string?> option) =>
        Dispatcher.Use(result.GetValue(option) is { } name ? Dispatcher.Parse(name) : Dispatcher.Choice);
}
