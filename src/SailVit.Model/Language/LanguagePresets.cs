namespace SailVit.Model.Language;

/// <summary>Architectures of published language models by name.</summary>
public static class LanguagePresets
{
    private static readonly SortedDictionary<string, LanguageConfig> Known = new(StringComparer.OrdinalIgnoreCase)
    {
        ["qwen2.5-0.5b"] = Qwen2(896, 4864, 24, 14, 2, 151936, tied: true),
        ["qwen2.5-1.5b"] = Qwen2(1536, 8960, 28, 12, 2, 151936, tied: true),
        ["qwen2.5-7b"] = Qwen2(3584, 18944, 28, 28, 4, 152064, tied: false),
        ["qwen3-0.6b"] = Qwen3(1024, 3072, 28, 16, tied: true),
        ["qwen3-1.7b"] = Qwen3(2048, 6144, 28, 16, tied: true),
        ["qwen3-8b"] = Qwen3(4096, 12288, 36, 32, tied: false),
    };

    /// <summary>All names, sorted.</summary>
    public static IReadOnlyCollection<string> Names => Known.Keys;

    /// <summary>The architecture with this name.</summary>
    /// <exception cref="ArgumentException">There is none; the message lists all.</exception>
    public static LanguageConfig Get(string name) => Known.TryGetValue(name, out var config)
        ? config
        : throw new ArgumentException($"Unknown language model '{name}'; known are {string.Join(", ", Known.Keys)}.");

    private static LanguageConfig Qwen2(int hidden, int intermediate, int layers, int heads, int kvHeads, int vocabulary, bool tied) => new()
    {
        Family = LanguageFamily.Qwen2,
        HiddenSize = hidden,
        IntermediateSize = intermediate,
        Layers = layers,
        Heads = heads,
        KvHeads = kvHeads,
        HeadDim = hidden / heads,
        VocabSize = vocabulary,
        MaxPositions = 32768,
        TieEmbeddings = tied,
        QkvBias = true,
    };

    private static LanguageConfig Qwen3(int hidden, int intermediate, int layers, int heads, bool tied) => new()
    {
        Family = LanguageFamily.Qwen3,
        HiddenSize = hidden,
        IntermediateSize = intermediate,
        Layers = layers,
        Heads = heads,
        KvHeads = 8,
        HeadDim = 128,
        VocabSize = 151936,
        MaxPositions = 40960,
        TieEmbeddings = tied,
        QkNorm = true,
    };
}
