namespace SailVit.Model.Evaluation.Vqa;

/// <summary>How one question was judged.</summary>
/// <param name="Index">The question.</param>
/// <param name="Said">What the answer was taken to say; null where that was not clear.</param>
/// <param name="Score">From 0 to 1.</param>
public sealed record VqaVerdict(string Index, string? Said, double Score);

/// <summary>What a model scores on a set, from 0 to 100.</summary>
/// <param name="Set">The set.</param>
/// <param name="Score">The number of OpenCompass' table.</param>
/// <param name="Metrics">All that the set publishes, by split and by category.</param>
/// <param name="Unclear">Answers that no rule could place and that no judge was given for; they count as wrong.</param>
/// <param name="Verdicts">Each question.</param>
public sealed record VqaReport(VqaSet Set, double Score, IReadOnlyDictionary<string, double> Metrics, int Unclear, IReadOnlyList<VqaVerdict> Verdicts);
