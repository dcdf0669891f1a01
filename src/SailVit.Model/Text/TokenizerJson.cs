using System.Text.Json;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>Reads <c>tokenizer.json</c>, the one file of Hugging Face's fast tokenizers.</summary>
internal static class TokenizerJson
{
    public const string Name = "tokenizer.json";

    public static TokenizerModel Read(JsonElement root, string source)
    {
        var model = Object(root, "model", source);
        Expect(model, "type", source, "BPE");
        Refuse(model, "ignore_merges", source);
        Refuse(model, "byte_fallback", source);
        return new TokenizerModel
        {
            Source = source,
            Vocab = Vocab(Object(model, "vocab", source), source),
            Merges = Merges(model, source),
            Added = root.TryGetProperty("added_tokens", out var added) ? [.. Items(added, "added_tokens", source).Select(token => Added(token, source))] : [],
            Pattern = Pattern(root, source),
            Nfc = Nfc(root, source),
        };
    }

    /// <summary>A vocabulary: an object of token to id.</summary>
    public static Dictionary<string, int> Vocab(JsonElement vocab, string source)
    {
        var tokens = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var token in vocab.EnumerateObject())
        {
            tokens[token.Name] = token.Value.ValueKind == JsonValueKind.Number && token.Value.TryGetInt32(out int id) ? id
                : throw Error(source, $"token {TensorEntry.Show(token.Name)} has no whole number as its id");
        }
        return tokens;
    }

    /// <summary>An added token from an object with <c>content</c>; its id stands inside, or is given.</summary>
    public static AddedToken Added(JsonElement token, string source, int? id = null)
    {
        if (token.ValueKind != JsonValueKind.Object || !token.TryGetProperty("content", out var content) || content.ValueKind != JsonValueKind.String)
        {
            throw Error(source, "an added token has no content");
        }
        int number = id ?? (token.TryGetProperty("id", out var own) && own.ValueKind == JsonValueKind.Number && own.TryGetInt32(out int value) ? value
            : throw Error(source, $"the added token {TensorEntry.Show(content.GetString()!)} has no id"));
        return new AddedToken(number, content.GetString()!, Flag(token, "special", false))
        {
            TakesLeft = Flag(token, "lstrip", false),
            TakesRight = Flag(token, "rstrip", false),
            SingleWord = Flag(token, "single_word", false),
        };
    }

    private static List<(string, string)> Merges(JsonElement model, string source)
    {
        if (!model.TryGetProperty("merges", out var merges))
        {
            throw Error(source, "merges are missing");
        }
        return [.. Items(merges, "merges", source).Select(merge => merge.ValueKind switch
        {
            // Older files write a pair as one text, newer ones as a list.
            JsonValueKind.String => Pair(merge.GetString()!, source),
            JsonValueKind.Array when merge.GetArrayLength() == 2 && merge.EnumerateArray().All(part => part.ValueKind == JsonValueKind.String) => (merge[0].GetString()!, merge[1].GetString()!),
            _ => throw Error(source, "a merge is no pair of texts"),
        })];
    }

    /// <summary>A merge written as two tokens with a space between.</summary>
    public static (string Left, string Right) Pair(string merge, string source) => merge.Split(' ') is [{ Length: > 0 } left, { Length: > 0 } right] ? (left, right)
        : throw Error(source, $"the merge {TensorEntry.Show(merge)} is no pair of tokens with a space between");

    private static bool Nfc(JsonElement root, string source)
    {
        var steps = Steps(root, "normalizer", "normalizers", source);
        foreach (var step in steps)
        {
            Expect(step, "type", source, "NFC");
        }
        return steps.Count > 0;
    }

    private static string Pattern(JsonElement root, string source)
    {
        string? pattern = null;
        bool byteLevel = false;
        foreach (var step in Steps(root, "pre_tokenizer", "pretokenizers", source))
        {
            if (Expect(step, "type", source, "Split", "ByteLevel") == "Split")
            {
                string split = SplitBy(step, source);
                pattern = pattern is null ? split : throw Error(source, "pre_tokenizer splits twice; only one Split is supported");
                continue;
            }
            byteLevel = true;
            Refuse(step, "add_prefix_space", source);
            if (Flag(step, "use_regex", true))
            {
                pattern = pattern is null ? TokenizerModel.Gpt2Pattern : throw Error(source, "pre_tokenizer splits twice; use_regex of ByteLevel must be false behind a Split");
            }
        }
        return byteLevel && pattern is not null ? pattern
            : throw Error(source, "pre_tokenizer must be ByteLevel, or a Split followed by ByteLevel; only byte-level BPE tokenizers (GPT-2, Qwen2, Qwen3) are supported");
    }

    private static string SplitBy(JsonElement step, string source)
    {
        var pattern = Object(step, "pattern", source);
        // Removing all but the matches is the same where the matches leave nothing out, as with every published pattern of this kind.
        string behavior = Expect(step, "behavior", source, "Isolated", "Removed");
        bool inverted = Flag(step, "invert", false);
        return behavior == "Removed" != inverted ? throw Error(source, $"pre_tokenizer has behavior {behavior} with invert {inverted}; supported are Isolated, and Removed with invert")
            : pattern.TryGetProperty("Regex", out var regex) && regex.ValueKind == JsonValueKind.String ? regex.GetString()!
            : throw Error(source, "pre_tokenizer splits by no regular expression (Regex)");
    }

    // A part that is null, one step, or a Sequence of steps.
    private static IReadOnlyList<JsonElement> Steps(JsonElement root, string key, string listKey, string source)
    {
        if (!root.TryGetProperty(key, out var part) || part.ValueKind == JsonValueKind.Null)
        {
            return [];
        }
        if (part.ValueKind != JsonValueKind.Object)
        {
            throw Error(source, $"{key} is no object");
        }
        return part.TryGetProperty("type", out var type) && type.ValueEquals("Sequence")
            ? part.TryGetProperty(listKey, out var list) ? [.. Items(list, listKey, source)] : throw Error(source, $"{key} is a Sequence without {listKey}")
            : [part];
    }

    private static JsonElement.ArrayEnumerator Items(JsonElement list, string key, string source) =>
        list.ValueKind == JsonValueKind.Array ? list.EnumerateArray() : throw Error(source, $"{key} is no list");

    private static JsonElement Object(JsonElement element, string key, string source) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.Object ? value : throw Error(source, $"{key} is missing or no object");

    private static string Expect(JsonElement element, string key, string source, params string[] allowed)
    {
        string? value = element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out var found) && found.ValueKind == JsonValueKind.String ? found.GetString() : null;
        return value is not null && allowed.Contains(value) ? value
            : throw Error(source, $"{key} is {(value is null ? "missing" : TensorEntry.Show(value))}; supported is {string.Join(", ", allowed)}: only byte-level BPE tokenizers (GPT-2, Qwen2, Qwen3) are");
    }

    private static bool Flag(JsonElement element, string key, bool absent) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(key, out var value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : absent;

    private static void Refuse(JsonElement element, string flag, string source)
    {
        if (Flag(element, flag, false))
        {
            throw Error(source, $"{flag} is true, which is not supported");
        }
    }

    private static CheckpointException Error(string source, string problem) => new($"{source}: {problem}.");
}
