using System.IO.Enumeration;
using static TorchSharp.torch;

namespace SailVit.Bench;

/// <summary>Chooses cases by words: each must occur in op, shape, dtype, direction or baseline. A word with * or ? is a pattern for the
/// whole of one of them: <c>"linear* float32 forward"</c>, <c>"*1024x1024* forward_backward"</c>.</summary>
/// <param name="text">The words, separated by spaces; empty takes everything.</param>
/// <param name="dtype">Only this storage type; null for all.</param>
public sealed class BenchFilter(string? text = null, ScalarType? dtype = null)
{
    private readonly string[] _words = (text ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Whether to run <paramref name="c"/>.</summary>
    public bool Takes(BenchCase c)
    {
        ArgumentNullException.ThrowIfNull(c);
        string[] fields = [c.Baseline, c.Op, c.Shape, Names.Of(c.DType), Names.Of(c.Direction)];
        return (dtype is null || dtype == c.DType) && Array.TrueForAll(_words, word => Matches(word, fields));
    }

    private static bool Matches(string word, string[] fields)
    {
        // "forward" means the direction of that name; as a part of "forward_backward" it would take everything.
        if (Enum.GetValues<Direction>().Any(d => word == Names.Of(d)))
        {
            return fields[^1] == word;
        }
        return word.AsSpan().ContainsAny('*', '?')
            ? Array.Exists(fields, f => FileSystemName.MatchesSimpleExpression(word, f))
            : Array.Exists(fields, f => f.Contains(word, StringComparison.OrdinalIgnoreCase));
    }
}

/// <summary>Names in tables and files.</summary>
public static class Names
{
    /// <summary>float32, bfloat16, float16.</summary>
    public static string Of(ScalarType dtype) => dtype.ToString().ToLowerInvariant();

    /// <summary>forward or forward_backward.</summary>
    public static string Of(Direction direction) => direction == Direction.Forward ? "forward" : "forward_backward";

    /// <summary>The storage type of a name, with the usual short forms.</summary>
    /// <exception cref="ArgumentException">Not a storage type of this library.</exception>
    public static ScalarType DType(string name) => name?.ToLowerInvariant() switch
    {
        "float32" or "fp32" => ScalarType.Float32,
        "bfloat16" or "bf16" => ScalarType.BFloat16,
        "float16" or "fp16" or "half" => ScalarType.Float16,
        _ => throw new ArgumentException($"'{name}' is not a storage type; use float32, bfloat16 or float16."),
    };
}
