using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using static TorchSharp.torch;

namespace SailVit.Cli.Evaluation;

/// <summary>What the evaluations have in common.</summary>
internal static class EvalOptions
{
    private static readonly JsonSerializerOptions Readable = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DictionaryKeyPolicy = null,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    public static Option<string[]> Many(string name, string description, string help, bool required = true) => new(name)
    {
        Description = description,
        HelpName = help,
        Required = required,
        AllowMultipleArgumentsPerToken = true,
        Arity = required ? ArgumentArity.OneOrMore : ArgumentArity.ZeroOrMore,
    };

    public static Option<string?> Json() => JsonOption.Create("Write the results to this file.");

    public static Option<string> DType()
    {
        var dtype = new Option<string>("--dtype") { Description = "Storage of weights and activations.", DefaultValueFactory = _ => "float32" };
        dtype.AcceptOnlyFromAmong("float32", "bfloat16");
        return dtype;
    }

    public static ScalarType DType(ParseResult result, Option<string> option) => result.GetValue(option) == "bfloat16" ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <summary>The paths, each of which must be given once only.</summary>
    public static string[] Distinct(string[] paths, string option) =>
        paths.GroupBy(Path.GetFullPath).FirstOrDefault(g => g.Count() > 1) is { } twice
            ? throw new ArgumentException($"{twice.First()}: is given more than once with {option}.")
            : paths;

    public static void Write(string? path, object results)
    {
        if (path is not null)
        {
            Files.WriteAtomically(path, stream => JsonSerializer.Serialize(stream, results, Readable));
        }
    }
}
