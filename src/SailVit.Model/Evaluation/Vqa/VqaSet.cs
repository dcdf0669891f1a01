namespace SailVit.Model.Evaluation.Vqa;

/// <summary>How answers to a set are judged.</summary>
public enum VqaRule
{
    /// <summary>The letter or the text of an option.</summary>
    Choice,

    /// <summary>The same, and right only where it is right for every order of the options.</summary>
    CircularChoice,

    /// <summary>Yes or no; by answer, figure and question (HallusionBench).</summary>
    YesNo,

    /// <summary>The answer holds one of the accepted strings (OCRBench).</summary>
    Substring,

    /// <summary>An option, or a number or text that a judge took from the answer (MathVista).</summary>
    Extracted,

    /// <summary>A judge's mark between 0 and 1 (MMVet).</summary>
    Marked,

    /// <summary>Average normalised Levenshtein similarity (DocVQA, InfoVQA).</summary>
    Anls,

    /// <summary>Equal, numbers within 5 % (ChartQA).</summary>
    Relaxed,

    /// <summary>Equal but for case and spaces at the ends (OCRVQA, GQA).</summary>
    Exact,
}

/// <summary>A published set of questions.</summary>
/// <param name="Name">As VLMEvalKit calls it, MMBench_DEV_EN_V11 say.</param>
/// <param name="Family">As OpenCompass' table calls it, MMBench say.</param>
/// <param name="Rule">How answers are judged.</param>
public sealed record VqaSet(string Name, string Family, VqaRule Rule)
{
    private static readonly (string Family, VqaRule Rule)[] Known =
    [
        ("MMBench", VqaRule.CircularChoice), ("CCBench", VqaRule.CircularChoice), ("MMStar", VqaRule.Choice), ("MMMU", VqaRule.Choice), ("AI2D", VqaRule.Choice),
        ("HallusionBench", VqaRule.YesNo), ("MathVista", VqaRule.Extracted), ("OCRBench", VqaRule.Substring), ("MMVet", VqaRule.Marked),
        ("DocVQA", VqaRule.Anls), ("InfoVQA", VqaRule.Anls), ("ChartQA", VqaRule.Relaxed), ("OCRVQA", VqaRule.Exact), ("GQA", VqaRule.Exact),
        ("ScienceQA", VqaRule.Choice), ("SEEDBench", VqaRule.Choice), ("RealWorldQA", VqaRule.Choice),
    ];

    /// <summary>The eight sets of OpenCompass' average.</summary>
    public static readonly IReadOnlyList<string> OpenCompass = ["MMBench", "MMStar", "MMMU", "MathVista", "HallusionBench", "AI2D", "OCRBench", "MMVet"];

    /// <summary>Whether the set is one of MMMU, whose questions name their images and of which some have no options.</summary>
    internal bool IsMmmu => Family == "MMMU";

    /// <summary>The set of a name that begins with a known one.</summary>
    /// <exception cref="ArgumentException">No known set has such a name.</exception>
    public static VqaSet Of(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        string plain = name.Replace("-", "", StringComparison.Ordinal);
        var (family, rule) = Known.FirstOrDefault(k => plain.StartsWith(k.Family, StringComparison.OrdinalIgnoreCase));
        return family is not null ? new(name, family, rule)
            : throw new ArgumentException($"{name}: no such set of questions is known; names begin with {string.Join(", ", Known.Select(k => k.Family))}. Say with --set which one it is like.");
    }

    /// <summary>OpenCompass' average: the mean over its eight sets, each from 0 to 100; of several sets of a family, their mean counts.</summary>
    /// <returns>Null where one of the eight is missing.</returns>
    public static double? Average(IEnumerable<(string Family, double Score)> scores)
    {
        ArgumentNullException.ThrowIfNull(scores);
        var byFamily = scores.GroupBy(s => s.Family).ToDictionary(g => g.Key, g => g.Average(s => s.Score));
        return OpenCompass.All(byFamily.ContainsKey) ? OpenCompass.Average(f => byFamily[f]) : null;
    }
}
