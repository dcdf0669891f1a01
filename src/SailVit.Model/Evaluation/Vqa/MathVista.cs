using System.Globalization;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>MathVista's rule: an option, or a number or text that equals the answer; a judge takes it from the words where they are more than that.</summary>
internal static class MathVista
{
    public static VqaVerdict Verdict(VqaQuestion question, string answer, string? judged)
    {
        if (question.Field("question_type") == "multi_choice")
        {
            var options = PythonList.Parse(question.Field("choices") ?? "[]").Select((text, i) => (Letter: $"{(char)('A' + i)}", text)).ToDictionary(o => o.Letter, o => o.text);
            string? option = AnswerMatch.InferOption(answer, options) ?? (judged is null ? null : AnswerMatch.InferOption(judged, options));
            return new(question.Index, option, option is not null && option == question.Field("answer_option") ? 1 : 0);
        }
        string? type = question.Field("answer_type");
        // An answer that is right as it stands needs no judge.
        string said = Same(answer, question.Answer, type) ? answer : judged ?? answer;
        bool clear = judged is not null || (ReferenceEquals(said, answer) && Value(answer, type) is not null);
        return new(question.Index, clear ? said.Trim() : null, Same(said, question.Answer, type) ? 1 : 0);
    }

    private static bool Same(string said, string right, string? type) => type is "integer" or "float"
        ? Value(said, type) is { } x && x.Equals(Value(right, type))
        : said.Trim() == right.Trim();

    private static object? Value(string text, string? type) => type switch
    {
        "integer" => long.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out long whole) ? (object)whole : null,
        "float" => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? (object)value : null,
        _ => text.Trim(),
    };
}
