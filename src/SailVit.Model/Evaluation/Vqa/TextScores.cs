using System.Globalization;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>How near an answer in words is to the accepted ones: from 0 to 1.</summary>
public static class TextScores
{
    private const double AnlsThreshold = 0.5, RelaxedTolerance = 0.05;

    // OCRBench: in formulas spaces mean nothing and case does.
    private const string Formulas = "Handwritten Mathematical Expression Recognition";

    /// <summary>Normalised Levenshtein similarity to the nearest accepted answer, 0 below one half.</summary>
    /// <remarks>Source: Biten et al. 2019, arXiv 1905.13648; case and runs of spaces do not count, as in VLMEvalKit.</remarks>
    public static double Anls(string answer, IEnumerable<string> accepted)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(accepted);
        double best = accepted.Select(a => Similarity(a, answer)).DefaultIfEmpty(0).Max();
        return best < AnlsThreshold ? 0 : best;
    }

    /// <summary>1 where the answer holds an accepted one.</summary>
    /// <remarks>Source: OCRBench, arXiv 2305.07895; VLMEvalKit.</remarks>
    public static double Substring(string answer, IEnumerable<string> accepted, string? category)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(accepted);
        string Clean(string text)
        {
            string line = text.Trim().Replace('\n', ' ');
            return category == Formulas ? line.Replace(" ", "", StringComparison.Ordinal) : line.ToLowerInvariant();
        }
        string said = Clean(answer);
        return accepted.Any(a => said.Contains(Clean(a), StringComparison.Ordinal)) ? 1 : 0;
    }

    /// <summary>1 where a number is within 5 % of an accepted one, or a text equal to it but for case.</summary>
    /// <remarks>Source: ChartQA, arXiv 2203.10244, §5.1. "12 %" is 0.12.</remarks>
    public static double Relaxed(string answer, IEnumerable<string> accepted)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(accepted);
        string said = answer.Trim();
        return accepted.Any(a => Number(said) is { } x && Number(a) is { } y && y != 0
            ? Math.Abs(x - y) / Math.Abs(y) <= RelaxedTolerance
            : string.Equals(said, a, StringComparison.OrdinalIgnoreCase)) ? 1 : 0;
    }

    /// <summary>1 where the answer equals an accepted one but for case and spaces at the ends.</summary>
    public static double Exact(string answer, IEnumerable<string> accepted)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(accepted);
        return accepted.Any(a => string.Equals(a.Trim(), answer.Trim(), StringComparison.OrdinalIgnoreCase)) ? 1 : 0;
    }

    private static double? Number(string text) =>
        double.TryParse(text.EndsWith('%') ? text.TrimEnd('%') : text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? (text.EndsWith('%') ? value / 100 : value) : null;

    private static string Plain(string text) => string.Join(' ', text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    // The length is that of the words as they came, as in VLMEvalKit.
    private static double Similarity(string a, string b)
    {
        int length = Math.Max(a.Length, b.Length);
        return length == 0 ? 1 : 1 - ((double)Levenshtein(Plain(a), Plain(b)) / length);
    }

    private static int Levenshtein(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, a.Length + 1)];
        for (int j = 0; j < b.Length; j++)
        {
            int diagonal = row[0];
            row[0] = j + 1;
            for (int i = 0; i < a.Length; i++)
            {
                int above = row[i + 1];
                row[i + 1] = a[i] == b[j] ? diagonal : 1 + Math.Min(diagonal, Math.Min(above, row[i]));
                diagonal = above;
            }
        }
        return row[^1];
    }
}
