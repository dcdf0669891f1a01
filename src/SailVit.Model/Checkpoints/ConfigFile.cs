using System.Text.Json;
using SailVit.Model.Encoders;

namespace SailVit.Model.Checkpoints;

/// <summary>Reads the architecture of an encoder from a Hugging Face <c>config.json</c>, as it is.</summary>
/// <remarks>A multimodal config is read through its <c>vision_config</c>. Keys that fix the size must be there; others
/// default as in the published configuration classes.</remarks>
public static class ConfigFile
{
    /// <summary>Name of the file inside a checkpoint folder.</summary>
    public const string Name = "config.json";

    internal static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Model types of encoders that can be built.</summary>
    public static readonly IReadOnlyList<string> ModelTypes = ["aimv2", "aimv2_vision_model", "sailvit", "intern_vit_6b", "intern_vit_300m"];

    /// <summary>Reads a config file, or the one in a folder.</summary>
    /// <exception cref="CheckpointException">The file is missing, is no config, or describes an encoder that is not known.</exception>
    public static EncoderConfig Read(string path)
    {
        string file = Find(path);
        return Parse(Files.ReadAllText(file), file);
    }

    /// <summary>The hidden state of the encoder that a multimodal model uses, negative from the end; null in other configs.</summary>
    /// <exception cref="CheckpointException">The file is missing or is no config.</exception>
    public static int? ReadSelectLayer(string path)
    {
        string file = Find(path);
        return Parse(Files.ReadAllText(file), file, root => root.Has("vision_config") && root.Has("select_layer") ? root.Count("select_layer") : (int?)null);
    }

    /// <summary>Reads the text of a config.</summary>
    /// <param name="json">The text.</param>
    /// <param name="source">Named in messages.</param>
    /// <exception cref="CheckpointException">The text is no config, or describes an encoder that is not known.</exception>
    public static EncoderConfig Parse(string json, string source = Name) => Parse(json, source, root =>
    {
        var config = Build(root);
        config.Validate();
        return config;
    });

    /// <summary>The encoder that a config, or the vision_config in it, describes. Not yet validated.</summary>
    internal static EncoderConfig Build(ConfigReader root) => Build(root.Child("vision_config") ?? root, root);

    /// <summary>The text of a config from which <see cref="Parse(string, string)"/> reads the same architecture.</summary>
    /// <exception cref="CheckpointException">No published configuration class has such an architecture.</exception>
    public static string Text(EncoderConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        string json = ConfigWriter.Describe(config).ToJsonString(Indented) + "\n";
        return Parse(json) == config ? json
            : throw new CheckpointException($"{Name} cannot describe this encoder: the configuration class of {config.Family} has no keys for such a combination of norm, MLP, biases and options. Write its tensors alone.");
    }

    /// <summary>The config in a folder, or the file itself.</summary>
    /// <exception cref="CheckpointException">There is none.</exception>
    internal static string Find(string path)
    {
        bool isFolder = Directory.Exists(path);
        string file = isFolder ? Path.Combine(path, Name) : path;
        return File.Exists(file) ? file
            : throw new CheckpointException($"{TensorEntry.Show(file)}: there is no such {(isFolder || Path.GetFileName(path) == Name ? "file" : "folder")}. A checkpoint folder holds {Name} and {Checkpoint.FileName}, or {Checkpoint.IndexName} with its shards.");
    }

    internal static T Parse<T>(string json, string source, Func<ConfigReader, T> read)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return read(new ConfigReader(document.RootElement, source));
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{source}: not valid JSON ({TensorEntry.Show(e.Message, 500)})", e);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            throw new CheckpointException($"{source}: {TensorEntry.Show(e.Message, 500)}", e);
        }
    }

    private static EncoderConfig Build(ConfigReader vision, ConfigReader root) => ModelType(vision, root) switch
    {
        "aimv2" or "aimv2_vision_model" or "sailvit" => Aimv2(vision),
        "intern_vit_6b" or "intern_vit_300m" => InternVit(vision),
        var type => throw vision.Error($"model_type is {(type.Length == 0 ? "missing" : $"'{type}'")}; known are {string.Join(", ", ModelTypes)}, or a multimodal config with such a vision_config"),
    };

    // The vision_config of a multimodal checkpoint may leave its type to the outer class.
    private static string ModelType(ConfigReader vision, ConfigReader root) => vision.Text("model_type", "") switch
    {
        "" when root.Text("model_type", "") == "sailvl" => "sailvit",
        "" when root.Text("model_type", "") == "internvl_chat" => "intern_vit_6b",
        var type => type,
    };

    private static EncoderConfig Aimv2(ConfigReader vision)
    {
        vision.RequireZero("attention_dropout", "projection_dropout");
        vision.RequireOneOf("hidden_act", "silu");
        var (height, width) = vision.Size("image_size");
        bool native = vision.Flag("is_native", false);
        bool sinCos = vision.RequireOneOf("pos_embed_type", native ? "sincos" : "absolute", "sincos", "absolute") == "sincos";
        bool qkvBias = vision.Flag("qkv_bias", false);
        return new EncoderConfig
        {
            Family = EncoderFamily.Aimv2,
            HiddenSize = vision.Count("hidden_size"),
            IntermediateSize = vision.Count("intermediate_size"),
            Layers = vision.Count("num_hidden_layers"),
            Heads = vision.Count("num_attention_heads"),
            Channels = vision.Count("num_channels", 3),
            ImageHeight = height,
            ImageWidth = width,
            PatchSize = vision.Count("patch_size", 14),
            Eps = vision.Number("rms_norm_eps", 1e-5),
            Norm = NormKind.RmsNorm,
            Mlp = MlpKind.SwiGlu,
            QkvBias = qkvBias,
            UseBias = UseBias(vision, qkvBias),
            PatchNorm = true,
            Position = sinCos ? PositionKind.SinCos : PositionKind.Learned,
            FinalNorm = true,
        };
    }

    // Transformers' own class calls the MLP's bias mlp_bias and ties attention's projection to qkv_bias.
    private static bool UseBias(ConfigReader vision, bool qkvBias)
    {
        if (!vision.Has("mlp_bias"))
        {
            return vision.Flag("use_bias", false);
        }
        bool mlpBias = vision.Flag("mlp_bias", false);
        return mlpBias == qkvBias ? mlpBias : throw vision.Error("mlp_bias and qkv_bias differ; an encoder with a bias in only one of MLP and attention projection is not supported");
    }

    private static EncoderConfig InternVit(ConfigReader vision)
    {
        vision.RequireZero("attention_dropout", "dropout");
        var (height, width) = vision.Size("image_size");
        return new EncoderConfig
        {
            Family = EncoderFamily.InternVit,
            HiddenSize = vision.Count("hidden_size"),
            IntermediateSize = vision.Count("intermediate_size"),
            Layers = vision.Count("num_hidden_layers"),
            Heads = vision.Count("num_attention_heads"),
            Channels = vision.Count("num_channels", 3),
            ImageHeight = height,
            ImageWidth = width,
            PatchSize = vision.Count("patch_size", 14),
            Eps = vision.Number("layer_norm_eps", 1e-6),
            Norm = vision.RequireOneOf("norm_type", "rms_norm", "layer_norm") == "layer_norm" ? NormKind.LayerNorm : NormKind.RmsNorm,
            Mlp = vision.RequireOneOf("hidden_act", "gelu", "gelu_new", "gelu_pytorch_tanh") == "gelu" ? MlpKind.Gelu : MlpKind.GeluTanh,
            QkvBias = vision.Flag("qkv_bias", false),
            UseBias = true,
            LayerScale = true,
            LayerScaleInit = vision.Number("initializer_factor", 0.1),
            QkNorm = vision.Flag("qk_normalization", true),
            ClassToken = true,
            DropPath = vision.Number("drop_path_rate", 0),
        };
    }
}
