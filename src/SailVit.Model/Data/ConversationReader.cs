using System.Text.Json;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>Reads a conversation from a JSON object in the form of LLaVA and InternVL.</summary>
/// <remarks>
/// <c>{"id": …, "image": "a.jpg" | ["a.jpg", …], "conversations": [{"from": "human" | "gpt" | "system", "value": …}, …]}</c>;
/// <c>messages</c> with <c>role</c> and <c>content</c> is read as well. Other keys (<c>width</c>, <c>height</c>) are left
/// alone: an image's own header decides its size.
/// </remarks>
internal static class ConversationReader
{
    private const int MaxImages = 1024;

    private static readonly JsonDocumentOptions Options = new() { AllowTrailingCommas = true, MaxDepth = 32 };

    /// <summary>Parses the text of an object.</summary>
    public static T Parse<T>(ReadOnlyMemory<byte> json, string where, Func<JsonElement, T> read)
    {
        try
        {
            using var document = JsonDocument.Parse(json, Options);
            return document.RootElement.ValueKind == JsonValueKind.Object ? read(document.RootElement)
                : throw Malformed(where, "is no JSON object");
        }
        catch (JsonException e)
        {
            throw new SampleException(SkipReason.Malformed, $"{where}: not valid JSON ({e.Message})", e);
        }
        // Text that is no Unicode, such as half of a surrogate pair.
        catch (InvalidOperationException e)
        {
            throw new SampleException(SkipReason.Malformed, $"{where}: {e.Message}", e);
        }
    }

    public static SampleException Malformed(string where, string problem) => new(SkipReason.Malformed, $"{where}: {problem}.");

    /// <summary>The object's id, or what stands for one.</summary>
    public static string Id(JsonElement sample, string absent) => sample.TryGetProperty("id", out var id) && id.ValueKind is JsonValueKind.String or JsonValueKind.Number ? $"{absent} (id {id})" : absent;

    /// <summary>Names of the images.</summary>
    public static IReadOnlyList<string> Images(JsonElement sample, string where)
    {
        if (!(sample.TryGetProperty("image", out var image) || sample.TryGetProperty("images", out image)) || image.ValueKind == JsonValueKind.Null)
        {
            return [];
        }
        string[] names = image.ValueKind switch
        {
            JsonValueKind.String => [image.GetString()!],
            JsonValueKind.Array when image.GetArrayLength() <= MaxImages && image.EnumerateArray().All(name => name.ValueKind == JsonValueKind.String) => [.. image.EnumerateArray().Select(name => name.GetString()!)],
            _ => throw Malformed(where, $"image must be a file name or a list of at most {MaxImages} of them"),
        };
        // LLaVA writes an empty name where there is no image.
        return names is [""] ? [] : names;
    }

    /// <summary>The turns; null where the object has none.</summary>
    public static IReadOnlyList<ChatMessage>? Messages(JsonElement sample, string where)
    {
        bool openAi = false;
        if (!sample.TryGetProperty("conversations", out var turns) && !(openAi = sample.TryGetProperty("messages", out turns)))
        {
            return null;
        }
        if (turns.ValueKind != JsonValueKind.Array)
        {
            throw Malformed(where, "conversations are no list");
        }
        var messages = new List<ChatMessage>(turns.GetArrayLength());
        foreach (var turn in turns.EnumerateArray())
        {
            messages.Add(new ChatMessage(Role(Text(turn, openAi ? "role" : "from", where), where), Text(turn, openAi ? "content" : "value", where)));
        }
        return messages;
    }

    /// <summary>Whether there is an answer to each question, and places for the images; one image without a place comes first.</summary>
    public static ConversationSample Checked(string id, IReadOnlyList<ChatMessage> messages, IReadOnlyList<EncodedImage> images)
    {
        int first = messages is [{ Role: ChatMessage.System }, ..] ? 1 : 0;
        for (int i = first; i < messages.Count; i++)
        {
            string expected = (i - first) % 2 == 0 ? ChatMessage.User : ChatMessage.Assistant;
            if (messages[i].Role != expected)
            {
                throw new SampleException(SkipReason.NoAnswer, $"{id}: turn {i + 1} is the {messages[i].Role}'s; it must be the {expected}'s.");
            }
        }
        if (messages.Count == first || (messages.Count - first) % 2 != 0 || !messages.Any(m => m.Role == ChatMessage.Assistant && m.Content.AsSpan().Trim().Length > 0))
        {
            throw new SampleException(SkipReason.NoAnswer, $"{id}: the conversation has {messages.Count} turns and does not end with an answer.");
        }
        int places = ChatTemplate.ImagePlaces(messages);
        if (places == 0 && images.Count == 1)
        {
            return new ConversationSample(id, [.. messages.Select((m, i) => i == first ? m with { Content = $"{ChatMessage.ImagePlace}\n{m.Content}" } : m)], images);
        }
        return places == images.Count ? new ConversationSample(id, messages, images)
            : throw new SampleException(SkipReason.ImageCount, $"{id}: has {images.Count} images and {places} places ({ChatMessage.ImagePlace}) for them.");
    }

    /// <summary>The role by any of its usual names.</summary>
    public static string Role(string name, string where) => name switch
    {
        "human" or "user" => ChatMessage.User,
        "gpt" or "assistant" => ChatMessage.Assistant,
        "system" => ChatMessage.System,
        _ => throw Malformed(where, $"a turn is from '{(name.Length <= 40 ? name : name[..40])}'; known are human, gpt and system"),
    };

    private static string Text(JsonElement turn, string key, string where) => turn.ValueKind == JsonValueKind.Object && turn.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String
        ? value.GetString()! : throw Malformed(where, $"a turn has no text under '{key}'");
}
