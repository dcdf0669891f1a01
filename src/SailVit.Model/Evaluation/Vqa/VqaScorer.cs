using System.Globalization;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>Scores answers by the published rules.</summary>
/// <remarks>Source: VLMEvalKit (arXiv 2407.11691), vlmeval/dataset: utils/multiple_choice.py, utils/yorn.py, utils/mathvista.py, utils/mmvet.py,
/// utils/vqa_eval.py and image_vqa.py. What they are in words: docs/evaluation.md.</remarks>
public sealed class VqaScorer
{
    // MMBench: the same question with options turned round has the same index modulo this.
    private const long CircularStep = 1_000_000;

    private static readonly string[] Capabilities = ["rec", "ocr", "know", "gen", "spat", "math"];

    private readonly VqaSet _set;
    private readonly IReadOnlyList<VqaQuestion> _questions;
    private readonly IReadOnlyDictionary<string, string> _answers;
    private readonly IReadOnlyDictionary<string, string> _judge;

    private VqaScorer(VqaSet set, IReadOnlyList<VqaQuestion> questions, IReadOnlyDictionary<string, string> answers, IReadOnlyDictionary<string, string> judge) =>
        (_set, _questions, _answers, _judge) = (set, questions, answers, judge);

    /// <summary>Scores a set.</summary>
    /// <param name="set">The set.</param>
    /// <param name="questions">Its questions.</param>
    /// <param name="answers">Answers by index; every question has one.</param>
    /// <param name="judge">What a judge said, by index: a mark for MMVet, else what it took from the answer. Null where there was none.</param>
    /// <exception cref="ArgumentException">Answers are missing, or a judge where the set needs one, the judge is of another set, or a question lacks what its rule needs.</exception>
    public static VqaReport Score(VqaSet set, IReadOnlyList<VqaQuestion> questions, IReadOnlyDictionary<string, string> answers, IReadOnlyDictionary<string, string>? judge = null)
    {
        ArgumentNullException.ThrowIfNull(set);
        ArgumentNullException.ThrowIfNull(questions);
        ArgumentNullException.ThrowIfNull(answers);
        var missing = questions.Where(q => !answers.ContainsKey(q.Index)).Select(q => q.Index).ToList();
        if (missing.Count > 0)
        {
            throw new ArgumentException($"{set.Name}: {missing.Count} of {questions.Count} questions have no answer: {string.Join(", ", missing.Take(5))}{(missing.Count > 5 ? ", …" : "")}.");
        }
        if (set.Rule == VqaRule.Marked && judge is null)
        {
            throw new ArgumentException($"{set.Name}: is marked by a judge model; give its marks, from 0 to 1, with --judge.");
        }
        if (judge?.Keys.Except(questions.Select(q => q.Index)).FirstOrDefault() is { } foreign)
        {
            throw new ArgumentException($"{set.Name}: the judge speaks of question {foreign}, which the set does not have; --judge must be of this set.");
        }
        return new VqaScorer(set, questions, answers, judge ?? new Dictionary<string, string>()).Report();
    }

    private VqaReport Report()
    {
        var verdicts = _set.Rule == VqaRule.CircularChoice ? Circular() : [.. _questions.Select(q => (q, Verdict(q)))];
        var metrics = new Dictionary<string, double>();
        double score = _set.Rule == VqaRule.YesNo ? HallusionMetrics(verdicts, metrics) : Metrics(verdicts, metrics);
        return new(_set, score, metrics, verdicts.Count(v => v.Verdict.Said is null), [.. verdicts.Select(v => v.Verdict)]);
    }

    private VqaVerdict Verdict(VqaQuestion question)
    {
        string answer = _answers[question.Index];
        return _set.Rule switch
        {
            VqaRule.Choice => Choice(question),
            VqaRule.YesNo => Compare(question, AnswerMatch.YesNo(answer) ?? Judged(question, AnswerMatch.YesNo), question.Answer),
            VqaRule.Extracted => MathVista.Verdict(question, answer, Judge(question)),
            VqaRule.Marked => Mark(question),
            VqaRule.Substring => new(question.Index, answer, TextScores.Substring(answer, PythonList.Parse(question.Answer), question.Field("category"))),
            VqaRule.Anls => new(question.Index, answer, TextScores.Anls(answer, PythonList.Parse(question.Answer))),
            VqaRule.Relaxed => new(question.Index, answer, TextScores.Relaxed(answer, PythonList.Parse(question.Answer))),
            _ => new(question.Index, answer, TextScores.Exact(answer, PythonList.Parse(question.Answer))),
        };
    }

    private VqaVerdict Choice(VqaQuestion question)
    {
        var options = question.Options;
        string right = question.Answer;
        if (_set.IsMmmu && !options.ContainsKey("A"))
        {
            // MMMU's open questions become a choice between the answer and anything else.
            options = new Dictionary<string, string> { ["A"] = question.Answer, ["B"] = "Other Answers" };
        }
        if (_set.IsMmmu && right is not [>= 'A' and <= 'Z'])
        {
            right = "A";
        }
        return Compare(question, AnswerMatch.InferOption(_answers[question.Index], options) ?? Judged(question, said => AnswerMatch.InferOption(said, options)), right);
    }

    // A question is right only where it is in every order of its options.
    private List<(VqaQuestion Question, VqaVerdict Verdict)> Circular()
    {
        long Number(VqaQuestion q) => long.TryParse(q.Index, NumberStyles.None, CultureInfo.InvariantCulture, out long index) ? index
            : throw new ArgumentException($"{_set.Name}: the index {q.Index} is no number; those of a circular set are, and equal modulo {CircularStep:N0} for the same question.");
        var groups = _questions.ToLookup(q => Number(q) % CircularStep);
        return [.. _questions.Where(q => Number(q) < CircularStep).Select(q =>
        {
            var parts = groups[Number(q)].Select(Choice).ToList();
            string? said = parts.Any(p => p.Said is not null && p.Score == 0) ? "" : parts.Any(p => p.Said is null) ? null : parts[0].Said;
            return (q, new VqaVerdict(q.Index, said, parts.Min(p => p.Score)));
        })];
    }

    private static VqaVerdict Compare(VqaQuestion question, string? said, string right) => new(question.Index, said, said == right ? 1 : 0);

    private VqaVerdict Mark(VqaQuestion question)
    {
        string? judged = Judge(question);
        bool valid = double.TryParse(judged, NumberStyles.Float, CultureInfo.InvariantCulture, out double mark) && mark is >= 0 and <= 1;
        return new(question.Index, valid ? judged : null, valid ? mark : 0);
    }

    private string? Judge(VqaQuestion question) => _judge.GetValueOrDefault(question.Index);

    private string? Judged(VqaQuestion question, Func<string, string?> read) => Judge(question) is { } said ? read(said) : null;

    private double Metrics(List<(VqaQuestion Question, VqaVerdict Verdict)> verdicts, Dictionary<string, double> metrics)
    {
        void Add(string name, Func<VqaQuestion, bool> belongs)
        {
            var scores = verdicts.Where(v => belongs(v.Question)).Select(v => v.Verdict.Score).ToList();
            if (scores.Count > 0)
            {
                metrics[name] = 100 * scores.Average();
            }
        }
        Add("overall", _ => true);
        foreach (string column in (string[])["split", "l2-category", "category", "task"])
        {
            foreach (string value in verdicts.Select(v => v.Question.Field(column)).OfType<string>().Distinct().Order(StringComparer.Ordinal))
            {
                Add($"{column}: {value}", q => q.Field(column) == value);
            }
        }
        if (_set.Rule == VqaRule.Marked)
        {
            Capabilities.ToList().ForEach(c => Add($"capability: {c}", q => q.Field("category")?.Contains(c, StringComparison.Ordinal) == true));
        }
        // MMMU's file holds development and validation questions; the table has the latter.
        return _set.IsMmmu && metrics.TryGetValue("split: validation", out double validation) ? validation : metrics["overall"];
    }

    private double HallusionMetrics(List<(VqaQuestion Question, VqaVerdict Verdict)> verdicts, Dictionary<string, double> metrics)
    {
        void Add(string name, IReadOnlyList<(VqaQuestion Question, VqaVerdict Verdict)> some)
        {
            double Whole(int part) => 100 * some.GroupBy(v => Key(v.Question, part)).Average(g => g.Min(v => v.Verdict.Score));
            metrics[$"{name} aAcc"] = 100 * some.Average(v => v.Verdict.Score);
            metrics[$"{name} fAcc"] = Whole(4);
            metrics[$"{name} qAcc"] = Whole(5);
        }
        Add("overall", verdicts);
        foreach (string column in (string[])["category", "l2-category"])
        {
            foreach (var group in verdicts.Where(v => v.Question.Field(column) is not null).GroupBy(v => v.Question.Field(column)).OrderBy(g => g.Key, StringComparer.Ordinal))
            {
                Add($"{column}: {group.Key}", [.. group]);
            }
        }
        return (metrics["overall aAcc"] + metrics["overall fAcc"] + metrics["overall qAcc"]) / 3;
    }

    // An index is …_set_figure_question: the third to fifth part after the first.
    private string Key(VqaQuestion question, int part)
    {
        string[] parts = question.Index.Split('_');
        return parts.Length > 5 ? $"{question.Field("l2-category")}_{parts[3]}_{parts[part]}"
            : throw new ArgumentException($"{_set.Name}: the index {question.Index} does not end in _set_figure_question; figures and questions cannot be told apart.");
    }
}
