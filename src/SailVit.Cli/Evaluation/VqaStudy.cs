using System.Globalization;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation.Vqa;
using Spectre.Console;

namespace SailVit.Cli.Evaluation;

/// <summary>One set: its file, what it is, and what was said to it.</summary>
internal sealed record VqaTask(string Path, VqaSet Set, IReadOnlyList<VqaQuestion> Questions, string? AnswersPath, string? JudgePath)
{
    /// <summary>Pairs files with names, answers and judges, which come in the same order.</summary>
    public static List<VqaTask> Open(string[] data, string[] sets, string[] answers, string[] judges)
    {
        CheckCount(sets, "--set", data);
        CheckCount(answers, "--answers", data);
        CheckCount(judges, "--judge", data);
        return [.. data.Select((path, i) => new VqaTask(
            path,
            VqaSet.Of(sets.ElementAtOrDefault(i) ?? System.IO.Path.GetFileNameWithoutExtension(path)),
            VqaQuestion.ReadAll(path),
            Given(answers.ElementAtOrDefault(i)),
            Given(judges.ElementAtOrDefault(i))))];
    }

    private static string? Given(string? path) => path == "-" ? null : path;

    private static void CheckCount(string[] values, string option, string[] data)
    {
        if (values.Length > 0 && values.Length != data.Length)
        {
            throw new ArgumentException($"{option} is given {values.Length} times and --data {data.Length}; give one for each file, in the same order, or - for none.");
        }
    }
}

/// <summary>Scores sets and shows them.</summary>
internal static class VqaStudy
{
    public static VqaReport Score(VqaTask task, IReadOnlyDictionary<string, string> answers) =>
        VqaScorer.Score(task.Set, task.Questions, answers, task.JudgePath is { } judge ? AnswerFile.Read(judge, "judge", "score", "answer") : null);

    public static void Show(IReadOnlyList<VqaReport> reports)
    {
        var table = new Table().AddColumns("set", "questions", "unclear", "score", "");
        foreach (var r in reports)
        {
            table.AddRow(Markup.Escape(r.Set.Name), $"{r.Verdicts.Count}", $"{r.Unclear}", Number(r.Score), Markup.Escape(string.Join(", ", r.Metrics.Where(m => IsShown(m.Key)).Select(m => $"{m.Key} {Number(m.Value)}"))));
        }
        Screen.Write(table);
        if (Average(reports) is { } average)
        {
            Console.WriteLine($"OpenCompass average of the eight sets: {Number(average)}");
        }
    }

    public static double? Average(IReadOnlyList<VqaReport> reports) => VqaSet.Average(reports.Select(r => (r.Set.Family, r.Score)));

    /// <summary>What goes into the file.</summary>
    public static object Results(IReadOnlyList<VqaReport> reports) => new
    {
        open_compass_average = Average(reports),
        sets = reports.Select(r => new { r.Set.Name, r.Set.Rule, r.Score, r.Unclear, r.Metrics, r.Verdicts }),
    };

    // Categories are many; they stand in the file.
    private static bool IsShown(string metric) => metric.StartsWith("split", StringComparison.Ordinal) || metric.StartsWith("overall ", StringComparison.Ordinal);

    private static string Number(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);
}
