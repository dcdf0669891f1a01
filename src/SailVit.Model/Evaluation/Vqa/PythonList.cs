using System.Globalization;
using System.Text;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>Lists of strings or numbers written as Python does; such stand in the fields of published sets.</summary>
internal static class PythonList
{
    /// <summary>The elements, as text; a text that is no list is its only element.</summary>
    public static IReadOnlyList<string> Parse(string text)
    {
        string trimmed = text.Trim();
        return trimmed.Length >= 2 && trimmed[0] == '[' && trimmed[^1] == ']' && TryElements(trimmed.AsSpan(1, trimmed.Length - 2)) is { } elements ? elements : [text];
    }

    private static List<string>? TryElements(ReadOnlySpan<char> text)
    {
        var elements = new List<string>();
        int at = 0;
        while (true)
        {
            at = Skip(text, at);
            if (at == text.Length)
            {
                return elements;
            }
            if ((text[at] is '\'' or '"' ? Quoted(text, ref at) : Bare(text, ref at)) is not { } element)
            {
                return null;
            }
            elements.Add(element);
            at = Skip(text, at);
            if (at < text.Length && text[at++] != ',')
            {
                return null;
            }
        }
    }

    private static int Skip(ReadOnlySpan<char> text, int at)
    {
        while (at < text.Length && char.IsWhiteSpace(text[at]))
        {
            at++;
        }
        return at;
    }

    private static string? Bare(ReadOnlySpan<char> text, ref int at)
    {
        int end = text[at..].IndexOf(',') is >= 0 and var n ? at + n : text.Length;
        var element = text[at..end].Trim();
        at = end;
        return element.Length > 0 && element.IndexOfAny("[]'\"") < 0 ? element.ToString() : null;
    }

    private static string? Quoted(ReadOnlySpan<char> text, ref int at)
    {
        char quote = text[at++];
        var element = new StringBuilder();
        while (at < text.Length && text[at] != quote)
        {
            char c = text[at++];
            if (c != '\\' || at == text.Length)
            {
                element.Append(c);
                continue;
            }
            char kind = text[at++];
            int digits = kind switch { 'x' => 2, 'u' => 4, _ => 0 };
            if (digits > 0 && at + digits <= text.Length && int.TryParse(text.Slice(at, digits), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int code))
            {
                element.Append((char)code);
                at += digits;
                continue;
            }
            element.Append(kind switch { 'n' => "\n", 't' => "\t", 'r' => "\r", '\\' or '\'' or '"' => $"{kind}", _ => $"\\{kind}" });
        }
        return at++ < text.Length ? element.ToString() : null;
    }
}
