using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Text;

/// <summary>Learns a small byte-level BPE tokenizer, split as Qwen's, and writes it as Hugging Face does.</summary>
/// <remarks>Counts all pairs anew for each merge: for vocabularies of thousands, not of a hundred thousand. Source: Sennrich et al. 2016, algorithm 1.</remarks>
public static class TokenizerTrainer
{
    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Learns from texts and writes <c>tokenizer.json</c> and <c>tokenizer_config.json</c> into a folder.</summary>
    /// <param name="texts">What to learn from.</param>
    /// <param name="vocabSize">Tokens in all; fewer where the texts give no more pairs, and then the added tokens still come last.</param>
    /// <param name="added">Special tokens with the highest ids; the first ends a text.</param>
    /// <param name="folder">Where the files go.</param>
    /// <exception cref="ArgumentException">There is no added token, or no room for the 256 bytes.</exception>
    /// <exception cref="CheckpointException">A file could not be written.</exception>
    public static void Train(IEnumerable<string> texts, int vocabSize, IReadOnlyList<string> added, string folder)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(added);
        ArgumentNullException.ThrowIfNull(folder);
        int plain = vocabSize - added.Count;
        if (added.Count == 0 || plain < ByteAlphabet.Chars.Count)
        {
            throw new ArgumentException($"a vocabulary of {vocabSize} with {added.Count} added tokens cannot be; there must be at least one added token, and room for 256 bytes.", nameof(vocabSize));
        }
        var vocab = ByteAlphabet.Chars.Select(c => c.ToString()).Order(StringComparer.Ordinal).ToList();
        var merges = new List<(string Left, string Right)>();
        var words = Words(texts);
        while (vocab.Count < plain && Commonest(words) is { } pair)
        {
            merges.Add(pair);
            vocab.Add(pair.Left + pair.Right);
            words.ForEach(word => Merge(word.Symbols, pair));
        }
        Write(vocab, merges, added, folder);
    }

    private static List<(List<string> Symbols, int Count)> Words(IEnumerable<string> texts)
    {
        var split = new SplitPattern(TokenizerModel.QwenPattern);
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (string text in texts.Select(Composition.Compose))
        {
            foreach (var (offset, length) in split.PreTokenize(text))
            {
                string word = ByteAlphabet.Encode(Encoding.UTF8.GetBytes(text.Substring(offset, length)));
                counts[word] = counts.GetValueOrDefault(word) + 1;
            }
        }
        return [.. counts.Select(word => (word.Key.Select(c => c.ToString()).ToList(), word.Value))];
    }

    // Of equally common pairs the first in order of characters, so that the result does not depend on a hash.
    private static (string Left, string Right)? Commonest(List<(List<string> Symbols, int Count)> words)
    {
        var counts = new Dictionary<(string Left, string Right), int>();
        foreach (var (symbols, count) in words)
        {
            for (int i = 1; i < symbols.Count; i++)
            {
                counts[(symbols[i - 1], symbols[i])] = counts.GetValueOrDefault((symbols[i - 1], symbols[i])) + count;
            }
        }
        return counts.Count == 0 ? null : counts
            .OrderByDescending(pair => pair.Value)
            .ThenBy(pair => pair.Key.Left, StringComparer.Ordinal)
            .ThenBy(pair => pair.Key.Right, StringComparer.Ordinal)
            .First().Key;
    }

    private static void Merge(List<string> symbols, (string Left, string Right) pair)
    {
        for (int i = 1; i < symbols.Count; i++)
        {
            if (symbols[i - 1] == pair.Left && symbols[i] == pair.Right)
            {
                symbols[i - 1] += symbols[i];
                symbols.RemoveAt(i);
            }
        }
    }

    private static void Write(List<string> vocab, List<(string Left, string Right)> merges, IReadOnlyList<string> added, string folder)
    {
        var split = new { type = "Split", pattern = new { Regex = TokenizerModel.QwenPattern }, behavior = "Isolated", invert = false };
        var byteLevel = new { type = "ByteLevel", add_prefix_space = false, trim_offsets = false, use_regex = false };
        WriteJson(Path.Combine(folder, TokenizerJson.Name), new
        {
            version = "1.0",
            added_tokens = added.Select((content, i) => new { id = vocab.Count + i, content, single_word = false, lstrip = false, rstrip = false, normalized = false, special = true }),
            normalizer = new { type = "NFC" },
            pre_tokenizer = new { type = "Sequence", pretokenizers = new object[] { split, byteLevel } },
            decoder = byteLevel,
            model = new
            {
                type = "BPE",
                vocab = vocab.Select((token, id) => (token, id)).ToDictionary(x => x.token, x => x.id),
                merges = merges.Select(m => $"{m.Left} {m.Right}"),
            },
        });
        WriteJson(Path.Combine(folder, Tokenizers.ConfigName), new { tokenizer_class = "Qwen2Tokenizer", eos_token = added[0] });
    }

    private static void WriteJson<T>(string path, T content) => Files.WriteAtomically(path, stream => JsonSerializer.Serialize(stream, content, Readable));
}
