using System.Globalization;
using System.Text.Json;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>Loads the tokenizer of a checkpoint from its own files.</summary>
public static class Tokenizers
{
    internal const string ConfigName = "tokenizer_config.json";
    private const string VocabName = "vocab.json", MergesName = "merges.txt", AddedName = "added_tokens.json";

    /// <summary>Reads <c>tokenizer.json</c>, or <c>vocab.json</c> with <c>merges.txt</c>, and what lies beside them (<c>tokenizer_config.json</c>, <c>added_tokens.json</c>).</summary>
    /// <exception cref="CheckpointException">There is no tokenizer in the folder, or none of a known kind.</exception>
    public static ITextTokenizer Load(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string json = Path.Combine(folder, TokenizerJson.Name), vocab = Path.Combine(folder, VocabName);
        TokenizerModel model;
        if (File.Exists(json))
        {
            model = ReadJson(json, root => TokenizerJson.Read(root, json));
        }
        else if (File.Exists(vocab))
        {
            model = ReadVocab(vocab, Path.Combine(folder, MergesName));
        }
        else
        {
            throw new CheckpointException($"{folder}: holds no tokenizer: neither {TokenizerJson.Name} nor {VocabName} with {MergesName}. Copy the tokenizer's files beside the weights.");
        }
        return Build(WithAdded(WithConfig(model, folder), folder));
    }

    private static ByteLevelBpe Build(TokenizerModel model)
    {
        try
        {
            return new ByteLevelBpe(model);
        }
        catch (ArgumentException e)
        {
            throw new CheckpointException($"{model.Source}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    private static TokenizerModel ReadVocab(string vocab, string merges) => new()
    {
        Source = vocab,
        Vocab = ReadJson(vocab, root => TokenizerJson.Vocab(root, vocab)),
        Merges = [.. Files.ReadAllText(merges).Split('\n')
            .Select(line => line.TrimEnd('\r'))
            .Where((line, i) => line.Length > 0 && !(i == 0 && line.StartsWith("#version", StringComparison.Ordinal)))
            .Select(line => TokenizerJson.Pair(line, merges))],
        Added = [],
        Pattern = TokenizerModel.QwenPattern,
        Nfc = true,
    };

    // The class decides how vocab.json is used, tokenizer.json says it itself; both take the end and more added tokens from here.
    private static TokenizerModel WithConfig(TokenizerModel model, string folder)
    {
        string path = Path.Combine(folder, ConfigName);
        if (!File.Exists(path))
        {
            return model;
        }
        return ReadJson(path, root =>
        {
            if (Path.GetFileName(model.Source) == VocabName && Text(root, "tokenizer_class") is { } name)
            {
                model = name switch
                {
                    "Qwen2Tokenizer" or "Qwen2TokenizerFast" => model,
                    "GPT2Tokenizer" or "GPT2TokenizerFast" => model with { Pattern = TokenizerModel.Gpt2Pattern, Nfc = false },
                    _ => throw new CheckpointException($"{path}: tokenizer_class is {TensorEntry.Show(name)}; known are Qwen2Tokenizer and GPT2Tokenizer, or any byte-level BPE with a {TokenizerJson.Name}."),
                };
            }
            var more = new List<AddedToken>();
            if (root.TryGetProperty("added_tokens_decoder", out var decoder) && decoder.ValueKind == JsonValueKind.Object)
            {
                more.AddRange(decoder.EnumerateObject().Select(token => TokenizerJson.Added(token.Value, path,
                    int.TryParse(token.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) ? id : throw new CheckpointException($"{path}: added_tokens_decoder has the id {TensorEntry.Show(token.Name)}, which is no whole number."))));
            }
            return With(model, more) with { Eos = Text(root, "eos_token") ?? model.Eos };
        });
    }

    private static TokenizerModel WithAdded(TokenizerModel model, string folder)
    {
        string path = Path.Combine(folder, AddedName);
        return File.Exists(path) ? With(model, ReadJson(path, root => TokenizerJson.Vocab(root, path)).Select(token => new AddedToken(token.Value, token.Key))) : model;
    }

    private static TokenizerModel With(TokenizerModel model, IEnumerable<AddedToken> more)
    {
        var known = model.Added.Select(a => a.Content).ToHashSet(StringComparer.Ordinal);
        return model with { Added = [.. model.Added, .. more.Where(a => !known.Contains(a.Content))] };
    }

    // A text, or an added token with its content.
    private static string? Text(JsonElement root, string key) => !root.TryGetProperty(key, out var value) ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : value.ValueKind == JsonValueKind.Object && value.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String ? content.GetString() : null;

    private static T ReadJson<T>(string path, Func<JsonElement, T> read)
    {
        try
        {
            using var document = JsonDocument.Parse(Files.ReadAllText(path));
            return document.RootElement.ValueKind == JsonValueKind.Object ? read(document.RootElement) : throw new CheckpointException($"{path}: must be a JSON object.");
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{path}: not valid JSON ({e.Message.ReplaceLineEndings(" ")})", e);
        }
        // Half of a surrogate pair in a text.
        catch (InvalidOperationException e)
        {
            throw new CheckpointException($"{path}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }
}
