using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Language;

/// <summary>Reads the architecture of a language model from a Hugging Face <c>config.json</c>, or the <c>llm_config</c> in it.</summary>
public static class LanguageConfigFile
{
    /// <summary>Classes that can be built, as <c>architectures[0]</c> or <c>model_type</c> name them.</summary>
    public static readonly IReadOnlyList<string> Architectures = ["Qwen2ForCausalLM", "Qwen3ForCausalLM"];

    /// <summary>Reads a config file, or the one in a folder.</summary>
    /// <exception cref="CheckpointException">The file is missing, is no config, or describes a model that is not known.</exception>
    public static LanguageConfig Read(string path)
    {
        string file = ConfigFile.Find(path);
        return Parse(Files.ReadAllText(file), file);
    }

    /// <summary>Reads the text of a config.</summary>
    /// <param name="json">The text.</param>
    /// <param name="source">Named in messages.</param>
    /// <exception cref="CheckpointException">The text is no config, or describes a model that is not known.</exception>
    public static LanguageConfig Parse(string json, string source = ConfigFile.Name) => ConfigFile.Parse(json, source, root =>
    {
        var config = Build(root.Child("llm_config") ?? root);
        config.Validate();
        return config;
    });

    /// <summary>Not yet validated.</summary>
    internal static LanguageConfig Build(ConfigReader llm)
    {
        var family = Family(llm);
        llm.RequireZero("attention_dropout");
        llm.RequireOneOf("hidden_act", "silu");
        Unsupported(llm, "rope_scaling", "scaled rotary positions");
        Unsupported(llm, "quantization_config", "quantised weights");
        Refuse(llm, "use_sliding_window", "attention is over the whole sequence");
        bool qwen3 = family == LanguageFamily.Qwen3;
        if (qwen3)
        {
            Refuse(llm, "attention_bias", "Qwen3's projections have no biases here");
        }
        int heads = llm.Count("num_attention_heads"), hidden = llm.Count("hidden_size");
        return new LanguageConfig
        {
            Family = family,
            HiddenSize = hidden,
            IntermediateSize = llm.Count("intermediate_size"),
            Layers = llm.Count("num_hidden_layers"),
            Heads = heads,
            KvHeads = llm.Count("num_key_value_heads", heads),
            HeadDim = llm.Count("head_dim", qwen3 ? 128 : heads > 0 ? hidden / heads : 0),
            Eps = llm.Number("rms_norm_eps", 1e-6),
            RopeTheta = llm.Number("rope_theta", 10_000),
            VocabSize = llm.Count("vocab_size"),
            MaxPositions = llm.Count("max_position_embeddings", 32_768),
            TieEmbeddings = llm.Flag("tie_word_embeddings", false),
            QkvBias = !qwen3,
            QkNorm = qwen3,
            InitializerRange = llm.Number("initializer_range", 0.02),
        };
    }

    /// <summary>The keys of a config from which the same architecture is read.</summary>
    /// <exception cref="CheckpointException">Neither class has such a combination of biases and norms.</exception>
    internal static JsonObject Describe(LanguageConfig config)
    {
        bool qwen3 = config.Family == LanguageFamily.Qwen3;
        if (config.QkNorm != qwen3 || config.QkvBias == qwen3)
        {
            throw new CheckpointException($"{ConfigFile.Name} cannot describe this language model: {config.Family} has {(qwen3 ? "a QK-norm and no biases" : "biases and no QK-norm")}.");
        }
        return new()
        {
            ["architectures"] = new JsonArray(qwen3 ? "Qwen3ForCausalLM" : "Qwen2ForCausalLM"),
            ["model_type"] = qwen3 ? "qwen3" : "qwen2",
            ["hidden_size"] = config.HiddenSize,
            ["intermediate_size"] = config.IntermediateSize,
            ["num_hidden_layers"] = config.Layers,
            ["num_attention_heads"] = config.Heads,
            ["num_key_value_heads"] = config.KvHeads,
            ["head_dim"] = config.HeadDim,
            ["hidden_act"] = "silu",
            ["rms_norm_eps"] = config.Eps,
            ["rope_theta"] = config.RopeTheta,
            ["vocab_size"] = config.VocabSize,
            ["max_position_embeddings"] = config.MaxPositions,
            ["tie_word_embeddings"] = config.TieEmbeddings,
            ["initializer_range"] = config.InitializerRange,
            ["attention_dropout"] = 0.0,
        };
    }

    private static LanguageFamily Family(ConfigReader llm)
    {
        string name = llm.First("architectures") ?? llm.Text("model_type", "");
        return name switch
        {
            "Qwen2ForCausalLM" or "qwen2" => LanguageFamily.Qwen2,
            "Qwen3ForCausalLM" or "qwen3" => LanguageFamily.Qwen3,
            _ => throw llm.Error($"the language model is {(name.Length == 0 ? "not named by architectures or model_type" : $"'{name}'")}; known are {string.Join(", ", Architectures)}"),
        };
    }

    private static void Unsupported(ConfigReader llm, string key, string what)
    {
        if (llm.Has(key))
        {
            throw llm.Error($"{key} is set; {what} are not supported");
        }
    }

    private static void Refuse(ConfigReader llm, string key, string reason)
    {
        if (llm.Flag(key, false))
        {
            throw llm.Error($"{key} is true; {reason}");
        }
    }
}
