using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;

namespace SailVit.Model.Text;

/// <summary>Splits a text by the regular expression of a tokenizer, which counts in code points.</summary>
/// <remarks>
/// .NET's expressions see UTF-16: a letter above U+FFFF is two surrogates to them, no letter. So such text is matched on a
/// shadow that has one character per code point, of the same category.
/// </remarks>
internal sealed class SplitPattern : PreTokenizer
{
    // A text that makes an expression backtrack for ever is refused, not waited for.
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    // A BMP character of each UnicodeCategory, in its order, that no pattern names itself.
    private const string StandIns = "Ààǅʰª\u0300\u0903\u0488٠Ⅰ²\u2003\u2028\u2029\u0080\u200B\uE000\uE000‿‐⁅⁆“”§±€˜©\uE000";

    private readonly Regex _regex;

    /// <exception cref="ArgumentException">The expression is malformed.</exception>
    public SplitPattern(string pattern) => _regex = new Regex(pattern, RegexOptions.Compiled | RegexOptions.CultureInvariant, Limit);

    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text) => Split(text);

    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => Split(text.ToString());

    private List<(int Offset, int Length)> Split(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            return Pieces(text);
        }
        var (shadow, starts) = Shadow(text);
        return [.. Pieces(shadow).Select(piece => (starts[piece.Offset], starts[piece.Offset + piece.Length] - starts[piece.Offset]))];
    }

    private List<(int Offset, int Length)> Pieces(string text)
    {
        var pieces = new List<(int, int)>();
        int end = 0;
        foreach (var match in _regex.EnumerateMatches(text))
        {
            Add(match.Index);
            Add(match.Index + match.Length);
        }
        Add(text.Length);
        return pieces;

        void Add(int to)
        {
            if (to > end)
            {
                pieces.Add((end, to - end));
                end = to;
            }
        }
    }

    // Also where each code point starts in the text, and the text's length at the end.
    private static (string Shadow, int[] Starts) Shadow(string text)
    {
        var shadow = new StringBuilder(text.Length);
        var starts = new List<int>(text.Length + 1);
        for (int i = 0; i < text.Length; i++)
        {
            starts.Add(i);
            if (char.IsSurrogatePair(text, i))
            {
                shadow.Append(StandIns[(int)CharUnicodeInfo.GetUnicodeCategory(text, i)]);
                i++;
            }
            else
            {
                shadow.Append(text[i]);
            }
        }
        starts.Add(text.Length);
        return (shadow.ToString(), [.. starts]);
    }
}
