using System.Text.Json;
using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>The files of a tokenizer, as they lie in a checkpoint's folder.</summary>
public static class TokenizerFiles
{
    private const string Added = "added_tokens.json", Whole = "tokenizer.json";

    private static readonly string[] Names = [Whole, "tokenizer_config.json", "vocab.json", "merges.txt", Added, "special_tokens_map.json", "chat_template.json", "chat_template.jinja"];

    /// <summary>Copies a tokenizer into another folder and adds the special tokens that it lacks, with the next free ids.</summary>
    /// <param name="from">The tokenizer's folder.</param>
    /// <param name="to">Where it goes; the folder exists.</param>
    /// <param name="tokens">Tokens that it must have, such as those of images, which a language model's own tokenizer has not.</param>
    /// <returns>The tokenizer of the new folder.</returns>
    /// <exception cref="CheckpointException">There is no tokenizer, or a file could not be written.</exception>
    public static ITextTokenizer Copy(string from, string to, params IReadOnlyList<string> tokens)
    {
        ArgumentNullException.ThrowIfNull(from);
        ArgumentNullException.ThrowIfNull(to);
        var tokenizer = Tokenizers.Load(from);
        foreach (string name in Names.Where(name => File.Exists(Path.Combine(from, name))))
        {
            byte[] content = Read(Path.Combine(from, name));
            Files.WriteAtomically(Path.Combine(to, name), stream => stream.Write(content));
        }
        var missing = tokens.Where(token => tokenizer.TokenId(token) is null).ToList();
        if (missing.Count == 0)
        {
            return tokenizer;
        }
        int next = tokenizer.VocabSize;
        Add(to, [.. missing.Select((token, i) => (token, next + i))]);
        return Tokenizers.Load(to);
    }

    private static void Add(string folder, IReadOnlyList<(string Token, int Id)> tokens)
    {
        bool whole = File.Exists(Path.Combine(folder, Whole));
        string path = Path.Combine(folder, whole ? Whole : Added);
        var root = File.Exists(path) ? JsonNode.Parse(Files.ReadAllText(path))!.AsObject() : [];
        foreach (var (token, id) in tokens)
        {
            if (whole)
            {
                root["added_tokens"] ??= new JsonArray();
                root["added_tokens"]!.AsArray().Add(new JsonObject { ["id"] = id, ["content"] = token, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = true });
            }
            else
            {
                root[token] = id;
            }
        }
        Files.WriteAtomically(path, stream => JsonSerializer.Serialize(stream, root, ConfigFile.Indented));
    }

    private static byte[] Read(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Files.CannotRead(path, e);
        }
    }
}
