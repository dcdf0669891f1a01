using System.Text.Json;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>Makes a conversation of what is none: a caption, or a question with its answer.</summary>
internal static class Captions
{
    private static readonly string[] CaptionKeys = ["caption", "text"];

    /// <summary>A caption answers the prompt; the images come first.</summary>
    public static IReadOnlyList<ChatMessage> From(string caption, string prompt, int images, string where) => caption.AsSpan().Trim().IsEmpty
        ? throw new SampleException(SkipReason.NoAnswer, $"{where}: the caption is empty.")
        : From(prompt, caption.Trim(), images);

    /// <summary>An object with <c>question</c> and <c>answer</c>, or with <c>caption</c> or <c>text</c>.</summary>
    public static IReadOnlyList<ChatMessage> From(JsonElement sample, string prompt, int images, string where)
    {
        if (Text(sample, "question") is { } question && Text(sample, "answer") is { } answer)
        {
            return From(question, answer, question.Contains(ChatMessage.ImagePlace, StringComparison.Ordinal) ? 0 : images);
        }
        return CaptionKeys.Select(key => Text(sample, key)).FirstOrDefault(text => text is not null) is { } caption
            ? From(caption, prompt, images, where)
            : throw ConversationReader.Malformed(where, "has no conversations, no caption or text, and no question with an answer");
    }

    private static ChatMessage[] From(string question, string answer, int images) =>
        [new(ChatMessage.User, string.Concat(Enumerable.Repeat($"{ChatMessage.ImagePlace}\n", images)) + question), new(ChatMessage.Assistant, answer)];

    private static string? Text(JsonElement sample, string key) => sample.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
