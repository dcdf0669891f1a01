using System.Text.Json;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>Answers, or what a judge said of them, one JSON object per line.</summary>
public static class AnswerFile
{
    /// <summary>Reads a file of lines like <c>{"index": 17, "answer": "B"}</c>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="keys">Under which of these the text or number stands; the first that is there.</param>
    /// <returns>Texts by index; of several lines of one index, the last.</returns>
    /// <exception cref="ArgumentException">The file is missing, or a line is malformed: it is named.</exception>
    public static IReadOnlyDictionary<string, string> Read(string path, params string[] keys)
    {
        if (!File.Exists(path))
        {
            throw new ArgumentException($"{path}: there is no such file.");
        }
        using var text = new StreamReader(path);
        return Read(text, path, keys);
    }

    /// <summary>The same from a file that is open already.</summary>
    /// <inheritdoc cref="Read(string, string[])"/>
    /// <param name="text">The lines.</param>
    /// <param name="path">Named in messages.</param>
    /// <param name="keys">As above.</param>
    public static IReadOnlyDictionary<string, string> Read(TextReader text, string path, params string[] keys)
    {
        ArgumentNullException.ThrowIfNull(text);
        var texts = new Dictionary<string, string>();
        int number = 0;
        while (text.ReadLine() is { } line)
        {
            number++;
            // The first line of a file that eval vqa wrote says what run it is of.
            if (string.IsNullOrWhiteSpace(line) || (number == 1 && line.StartsWith("{\"run\":", StringComparison.Ordinal)))
            {
                continue;
            }
            var (index, said) = Parse(line, keys) ?? throw new ArgumentException($"{path}: line {number} is no JSON object with index and {string.Join(" or ", keys)}.");
            texts[index] = said;
        }
        return texts;
    }

    private static (string Index, string Text)? Parse(string line, string[] keys)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            var root = json.RootElement;
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("index", out var index))
            {
                return null;
            }
            string? key = keys.FirstOrDefault(k => root.TryGetProperty(k, out _));
            return key is null ? null : (Plain(index), Plain(root.GetProperty(key)));
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string Plain(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
}
