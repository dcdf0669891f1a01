using System.CommandLine;
using System.CommandLine.Parsing;
using SailVit.Model.Checkpoints;

namespace SailVit.Cli.Running;

/// <summary><c>--json</c>: a file for the results. One that cannot be written, or is an input, is refused before the work.</summary>
internal static class JsonOption
{
    public static Option<string?> Create(string description)
    {
        var json = new Option<string?>("--json") { Description = description, HelpName = "OUT" };
        json.Validators.Add(given =>
        {
            if (given.Tokens.Count != 1)
            {
                return; // Which is an error of its own.
            }
            try
            {
                Files.CheckOutput(given.Tokens[0].Value, Others(given).Where(value => value.Length > 0).SelectMany(InputFiles));
            }
            catch (CheckpointException e)
            {
                given.AddError($"--json {e.Message}");
            }
        });
        return json;
    }

    // Whatever else was given: it does no harm that most of it names no file.
    private static IEnumerable<string> Others(OptionResult given) =>
        ((CommandResult)given.Parent!).Children.Where(other => other != given).SelectMany(other => other.Tokens).Select(token => token.Value);

    private static IEnumerable<string> InputFiles(string value) => Directory.Exists(value) ? Directory.EnumerateFiles(value).Where(EncoderOptions.IsOfCheckpoint) : [value];
}
