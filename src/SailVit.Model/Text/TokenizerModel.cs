using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>What the files of a byte-level BPE tokenizer say.</summary>
internal sealed record TokenizerModel
{
    /// <summary>How GPT-2 splits a text before merging.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>How Qwen2, Qwen2.5 and Qwen3 do.</summary>
    public const string QwenPattern = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    // The largest published vocabularies have about 260,000 tokens; ids index arrays here.
    private const int MaxId = 1 << 22;

    /// <summary>Named in messages.</summary>
    public required string Source { get; init; }

    /// <summary>Tokens, in GPT-2's alphabet of bytes, and their ids.</summary>
    public required IReadOnlyDictionary<string, int> Vocab { get; init; }

    /// <summary>Pairs that merge, the first first.</summary>
    public required IReadOnlyList<(string Left, string Right)> Merges { get; init; }

    /// <summary>Tokens recognised by their strings.</summary>
    public required IReadOnlyList<AddedToken> Added { get; init; }

    /// <summary>What a text is split into; what lies between matches is a piece too.</summary>
    public required string Pattern { get; init; }

    /// <summary>Whether text is composed (NFC) first.</summary>
    public bool Nfc { get; init; }

    /// <summary>The string of the token that ends a text; null where no file says.</summary>
    public string? Eos { get; init; }

    public CheckpointException Error(string problem) => new($"{Source}: {problem}.");

    /// <exception cref="CheckpointException">This cannot be a byte-level BPE vocabulary.</exception>
    public void Validate()
    {
        foreach (var (token, id) in Vocab.Concat(Added.Select(a => KeyValuePair.Create(a.Content, a.Id))))
        {
            if (id is < 0 or >= MaxId)
            {
                throw Error($"token {TensorEntry.Show(token)} has the id {id}; ids must lie between 0 and {MaxId - 1:N0}");
            }
        }
        int missing = ByteAlphabet.Chars.Count(c => !Vocab.ContainsKey(c.ToString()));
        if (missing > 0)
        {
            throw Error($"the vocabulary lacks {missing} of the 256 bytes; only byte-level BPE tokenizers (GPT-2, Qwen2, Qwen3) are supported");
        }
        if (Vocab.Values.Distinct().Count() != Vocab.Count)
        {
            throw Error("two tokens have the same id");
        }
        foreach (var (left, right) in Merges)
        {
            if (!Vocab.ContainsKey(left) || !Vocab.ContainsKey(right) || !Vocab.ContainsKey(left + right))
            {
                throw Error($"the merge of {TensorEntry.Show(left)} and {TensorEntry.Show(right)} uses or makes a token that the vocabulary lacks");
            }
        }
        if (Added.FirstOrDefault(a => a.Content.Length == 0) is { } empty)
        {
            throw Error($"the added token with the id {empty.Id} is an empty text");
        }
    }
}
