using System.Text.RegularExpressions;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>What an answer says, by VLMEvalKit's rules of exact matching.</summary>
/// <remarks>Source: VLMEvalKit (arXiv 2407.11691), vlmeval/utils/matching_util.py and vlmeval/dataset/utils/yorn.py.</remarks>
public static partial class AnswerMatch
{
    /// <summary>The answer that fits no option.</summary>
    public const string None = "Z";

    // A letter that stands further in front is hardly the answer.
    private const int LastWords = 4;

    private static readonly char[] Marks = [.. ".()[],:;!*#{}"];

    private static readonly string[] Refusals =
        ["Sorry, I can't help with images of people yet.", "I can't process this file.", "I'm sorry, but without the image provided", "Cannot determine the answer"];

    private const string Punctuation = ";/[]\"{}()=+\\_-><@`,?!";

    /// <summary>The option that an answer names by its letter or, failing that, by its text; null where neither is clear.</summary>
    public static string? InferOption(string answer, IReadOnlyDictionary<string, string> options) => ByLetter(answer, options) ?? ByText(answer, options);

    /// <summary>The one letter of an option that stands as a word among the last four: "B", "(B)", "B.", "the answer is B".</summary>
    public static string? ByLetter(string answer, IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(options);
        if (Refusals.Any(r => answer.Contains(r, StringComparison.Ordinal)))
        {
            return None;
        }
        var words = Words(string.Concat(answer.Select(c => Marks.Contains(c) ? ' ' : c)));
        var named = options.Keys.Where(words.Contains).ToList();
        return named.Count switch
        {
            0 when words.Contains(None) => None,
            1 when words.IndexOf(named[0]) >= words.Count - LastWords => named[0],
            _ => null,
        };
    }

    /// <summary>The one option whose text the answer holds, but for case; an answer of more than twice the length of all options names none.</summary>
    public static string? ByText(string answer, IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(options);
        if (answer.Length > 2 * options.Values.Sum(o => o.Length))
        {
            return null;
        }
        string lower = answer.ToLowerInvariant();
        var named = options.Where(o => lower.Contains(o.Value.ToLowerInvariant(), StringComparison.Ordinal)).Select(o => o.Key).ToList();
        return named.Count == 1 ? named[0] : null;
    }

    /// <summary>"Yes" or "No" where one of the two stands as a word and the other does not; else null.</summary>
    public static string? YesNo(string answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        var words = Words(WithoutPunctuation(answer.ToLowerInvariant()));
        return (words.Contains("yes"), words.Contains("no")) switch { (true, false) => "Yes", (false, true) => "No", _ => null };
    }

    /// <summary>VQA's clean-up: a mark that touches a space goes, another becomes a space; a full stop goes unless a digit follows.</summary>
    internal static string WithoutPunctuation(string text)
    {
        bool thousands = Thousands().IsMatch(text);
        string result = text;
        foreach (char mark in Punctuation)
        {
            bool gone = thousands || text.Contains($"{mark} ", StringComparison.Ordinal) || text.Contains($" {mark}", StringComparison.Ordinal);
            result = result.Replace($"{mark}", gone ? "" : " ", StringComparison.Ordinal);
        }
        return FullStop().Replace(result, "");
    }

    private static List<string> Words(string text) => [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)];

    [GeneratedRegex(@"\d,\d")]
    private static partial Regex Thousands();

    [GeneratedRegex(@"\.(?!\d)")]
    private static partial Regex FullStop();
}
