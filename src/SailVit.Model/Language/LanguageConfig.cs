namespace SailVit.Model.Language;

/// <summary>Whose block a language model has; the names of its tensors are the same.</summary>
public enum LanguageFamily
{
    /// <summary>Qwen2 and Qwen2.5: biases on queries, keys and values.</summary>
    Qwen2,

    /// <summary>Qwen3, dense: an RMSNorm on each head's queries and keys, no biases.</summary>
    Qwen3,
}

/// <summary>Everything that fixes the architecture of a decoder-only language model of the Qwen families.</summary>
/// <remarks>Read from a Hugging Face <c>config.json</c> or its <c>llm_config</c> by <see cref="LanguageConfigFile"/>, or written by hand.</remarks>
public sealed record LanguageConfig
{
    /// <summary>Whose block and class names.</summary>
    public required LanguageFamily Family { get; init; }

    /// <summary>Channels per token, C.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Channels inside the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads, H.</summary>
    public required int Heads { get; init; }

    /// <summary>Heads of keys and values; divides <see cref="Heads"/>.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Channels per head, D; even. H·D need not be C.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Added inside the square root of every norm.</summary>
    public double Eps { get; init; } = 1e-6;

    /// <summary>Base of the rotary angles.</summary>
    public double RopeTheta { get; init; } = 1_000_000;

    /// <summary>Rows of the embedding, V.</summary>
    public required int VocabSize { get; init; }

    /// <summary>Longest sequence, prompt and answer together.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Whether the head's weight is the embedding's.</summary>
    public bool TieEmbeddings { get; init; }

    /// <summary>Whether the projections to queries, keys and values have biases.</summary>
    public bool QkvBias { get; init; }

    /// <summary>Whether each head's queries and keys pass an RMSNorm before they are turned.</summary>
    public bool QkNorm { get; init; }

    /// <summary>Standard deviation of a new model's weights.</summary>
    public double InitializerRange { get; init; } = 0.02;

    /// <summary>Number of parameters.</summary>
    public long ParameterCount
    {
        get
        {
            long c = HiddenSize, q = (long)Heads * HeadDim, kv = (long)KvHeads * HeadDim;
            long attention = (c * (q + (2 * kv))) + (q * c) + (QkvBias ? q + (2 * kv) : 0) + (QkNorm ? 2 * HeadDim : 0);
            long block = attention + (3 * c * IntermediateSize) + (2 * c);
            return (VocabSize * c * (TieEmbeddings ? 1 : 2)) + (Layers * block) + c;
        }
    }

    /// <summary>Throws when no model can have these values.</summary>
    /// <exception cref="ArgumentException">A value is out of range or two do not fit; the message names them.</exception>
    public void Validate()
    {
        Positive(HiddenSize, "hidden_size");
        Positive(IntermediateSize, "intermediate_size");
        Positive(Layers, "num_hidden_layers");
        Positive(Heads, "num_attention_heads");
        Positive(KvHeads, "num_key_value_heads");
        Positive(HeadDim, "head_dim");
        Positive(VocabSize, "vocab_size");
        Positive(MaxPositions, "max_position_embeddings");
        Require(Heads % KvHeads == 0, $"num_attention_heads {Heads} must be a multiple of num_key_value_heads {KvHeads}.");
        Require(HeadDim % 2 == 0 && HeadDim <= 1024, $"head_dim is {HeadDim}; it must be even, at most 1024.");
        Require(Eps > 0 && double.IsFinite(Eps), $"rms_norm_eps is {Eps}; it must be a positive number.");
        Require(RopeTheta > 1 && double.IsFinite(RopeTheta), $"rope_theta is {RopeTheta}; it must be a number above 1.");
        Require(InitializerRange >= 0 && double.IsFinite(InitializerRange), $"initializer_range is {InitializerRange}; it must be a number, at least 0.");
        // Far above any published model; keeps every size product inside 64 bits.
        Require(Math.Max(HiddenSize, IntermediateSize) <= 1 << 20 && Layers <= 4096 && Heads <= 1 << 16 && VocabSize <= 1 << 28 && MaxPositions <= 1 << 28,
            "a size is beyond what a language model can have (hidden sizes up to 1,048,576, 4,096 layers, 268,435,456 tokens).");
    }

    private static void Positive(int value, string name) => Require(value > 0, $"{name} is {value}; it must be at least 1.");

    private static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new ArgumentException(message);
        }
    }
}
