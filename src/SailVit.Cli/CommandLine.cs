using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using SailVit.Kernels.Interop;
using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Distributed;
using SailVit.Model.Images;
using SailVit.Model.Refinement;
using SailVit.Model.Training;

namespace SailVit.Cli;

/// <summary>Runs a verb; whatever goes wrong is one line on standard error and exit code 1.</summary>
internal static class CommandLine
{
    private const int Failed = 1;
    private const int Interrupted = 130;
    private const string OutOfMemory = "out of memory; use a smaller model, smaller batches, smaller images or bfloat16.";

    // SIGXFSZ, on Linux and macOS: a write beyond the limit on file sizes is to be an error, not the end of the process.
    private const PosixSignal FileTooLarge = (PosixSignal)25;

    private static readonly Option<bool> Verbose = new("--verbose") { Description = "Show the stack trace of an error.", Recursive = true };

    // For as long as the process lives: what is still open at its end is written then.
    private static PosixSignalRegistration? _limit;

    public static int Run(RootCommand root, string[] args)
    {
        root.Options.Add(Verbose);
        _limit = OperatingSystem.IsWindows() ? null : PosixSignalRegistration.Create(FileTooLarge, signal => signal.Cancel = true);
        try
        {
            // Without a verb there is nothing to do but to say which there are.
            var parsed = root.Parse(args.Length == 0 ? ["--help"] : args);
            if (parsed.Errors.Count > 0)
            {
                Say($"{Complaint(parsed)} See {string.Join(' ', Verbs(parsed).Prepend("sailvit"))} --help.");
                return Failed;
            }
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (OperationCanceledException e)
        {
            // A job that keeps something says so itself.
            Say(e.CancellationToken.IsCancellationRequested ? "interrupted; no result was written." : e.Message);
            return Interrupted;
        }
#pragma warning disable CA1031 // The one place that reports: nothing may end in a stack trace that the user did not ask for.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Say(Describe(e));
            if (args.Contains(Verbose.Name))
            {
                Console.Error.WriteLine(e);
            }
            return Failed;
        }
    }

    // A wrong verb makes every word after it unknown as well; only the first is worth a complaint.
    private static string Complaint(ParseResult parsed) => parsed.CommandResult.Command.Subcommands is { Count: > 0 } verbs
        ? $"{(parsed.UnmatchedTokens.Count > 0 ? $"'{parsed.UnmatchedTokens[0]}' is no command" : "A command is missing")}; there are {string.Join(", ", verbs.Select(verb => verb.Name))}."
        : string.Join(" ", parsed.Errors.Select(Plain));

    // "as expected type 'System.Int32'" is no language of users.
    private static string Plain(ParseError error)
    {
        var type = (error.SymbolResult as OptionResult)?.Option.ValueType;
        type = type is null ? null : Nullable.GetUnderlyingType(type) ?? type.GetElementType() ?? type;
        int at = error.Message.IndexOf(" as expected type ", StringComparison.Ordinal);
        string must = type switch
        {
            { IsEnum: true } => $"one of {string.Join(", ", Enum.GetNames(type)).ToLowerInvariant()}",
            _ when type == typeof(int) => "a whole number",
            _ when type == typeof(double) => "a number",
            _ => "a path",
        };
        return at < 0 ? error.Message.Replace('\t', ' ') : $"{error.Message[..at]}: it must be {must}.";
    }

    private static List<string> Verbs(ParseResult parsed)
    {
        var names = new List<string>();
        for (var result = parsed.CommandResult; result.Command is not RootCommand; result = (CommandResult)result.Parent!)
        {
            names.Insert(0, result.Command.Name);
        }
        return names;
    }

    private static string Describe(Exception e) => e switch
    {
        // A static constructor that needed libtorch.
        TypeInitializationException { InnerException: { } inner } => Describe(inner),
        AggregateException { InnerExceptions.Count: > 0 } several => Describe(several.InnerExceptions[0]),
        OutOfMemoryException => OutOfMemory,
        // libtorch's allocator has no type of its own.
        ExternalException external when external.Message.Contains("can't allocate memory", StringComparison.Ordinal) => OutOfMemory,
        // libtorch appends its own stack trace.
        ExternalException external => external.Message.Split('\n')[0],
        // What a parameter is called in the code says nothing on the command line.
        ArgumentException { ParamName: { } name } argument => argument.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal),
        CheckpointException or RecipeException or TrainingException or DatasetException or ImageException or LibTorchException or ArgumentException or IOException or UnauthorizedAccessException or NotSupportedException or InvalidOperationException => e.Message,
        _ => $"unexpected {e.GetType().Name}: {e.Message} Run again with --verbose for the details, and report them.",
    };

    private static void Say(string message) => Console.Error.WriteLine($"sailvit: {(ReplicaJob.Rank > 0 ? $"process {ReplicaJob.Rank}: " : "")}{message.ReplaceLineEndings(" ").Trim()}");
}
