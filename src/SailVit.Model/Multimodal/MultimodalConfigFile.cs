using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using SailVit.Model.Text;
using static TorchSharp.torch;

namespace SailVit.Model.Multimodal;

/// <summary>Reads the architecture of a SAIL-VL model from its <c>config.json</c>.</summary>
public static class MultimodalConfigFile
{
    // SAIL-VL2, whose config may leave the id to the tokenizer.
    private const int SailVl2ImageContext = 151671;

    // This project's own key: how the published AnyRes models say it is not known.
    private const string AnyRes = "any_res_positions";

    private static readonly string[] Positions = ["bicubic", "bilinear", "axial_rotary"];

    /// <summary>Whether a config describes a multimodal model: it has a vision_config and an llm_config.</summary>
    /// <exception cref="CheckpointException">The file is missing or is no config.</exception>
    public static bool IsMultimodal(string path)
    {
        string file = ConfigFile.Find(path);
        return ConfigFile.Parse(Files.ReadAllText(file), file, root => root.Has("vision_config") && root.Has("llm_config"));
    }

    /// <summary>Reads a config file, or the one in a folder.</summary>
    /// <exception cref="CheckpointException">The file is missing, is no config, or describes a model that is not known.</exception>
    public static MultimodalConfig Read(string path)
    {
        string file = ConfigFile.Find(path);
        return ConfigFile.Parse(Files.ReadAllText(file), file, root =>
        {
            var config = Build(root);
            if (!root.Has("img_context_token_id") && Tokenizer(file)?.TokenId(ChatTemplate.ImageContext) is { } id)
            {
                config = config with { ImageContextTokenId = id };
            }
            config.Validate();
            return config;
        });
    }

    // Published configs leave the id to the tokenizer beside them.
    private static ITextTokenizer? Tokenizer(string file)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        return File.Exists(Path.Combine(folder, "tokenizer.json")) || File.Exists(Path.Combine(folder, "vocab.json")) ? Tokenizers.Load(folder) : null;
    }

    /// <summary>The text of a config from which the same architecture is read.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="dtype">Of the tensors beside it.</param>
    /// <param name="folder">Where the model was loaded from: what else its config says is kept. Null: none.</param>
    /// <exception cref="CheckpointException">No published configuration class has such an architecture.</exception>
    internal static string Text(MultimodalConfig config, ScalarType dtype, string? folder)
    {
        var json = folder is not null && File.Exists(ConfigFile.Find(folder)) ? JsonNode.Parse(Files.ReadAllText(ConfigFile.Find(folder)))!.AsObject()
            : new JsonObject { ["architectures"] = new JsonArray("SAILVLModel"), ["model_type"] = "sailvl" };
        json["select_layer"] = config.SelectLayer;
        json["downsample_ratio"] = config.DownsampleRatio;
        json["ps_version"] = config.PixelShuffleVersion == PixelShuffleVersion.V2 ? "v2" : "v1";
        json["force_image_size"] = config.ForceImageSize;
        json["template"] = config.Template;
        json["dynamic_image_size"] = config.DynamicImageSize;
        json["use_thumbnail"] = config.UseThumbnail;
        json["min_dynamic_patch"] = config.MinDynamicPatch;
        json["max_dynamic_patch"] = config.MaxDynamicPatch;
        json.Remove(AnyRes);
        if (config.AnyRes is { } positions)
        {
            json[AnyRes] = Positions[(int)positions];
        }
        json["img_context_token_id"] = config.ImageContextTokenId;
        json["use_backbone_lora"] = config.UseBackboneLora;
        json["use_llm_lora"] = config.UseLlmLora;
        json["torch_dtype"] = dtype.ToString().ToLowerInvariant();
        json["vision_config"] ??= ConfigWriter.Describe(config.Vision);
        json["llm_config"] ??= LanguageConfigFile.Describe(config.Language);
        string text = json.ToJsonString(ConfigFile.Indented) + "\n";
        return ConfigFile.Parse(text, ConfigFile.Name, Build) == config ? text
            : throw new CheckpointException($"{ConfigFile.Name} cannot describe this model: its configuration classes have no keys for such a combination of options.");
    }

    private static MultimodalConfig Build(ConfigReader root)
    {
        if (!root.Has("vision_config") || root.Child("llm_config") is not { } llm)
        {
            throw root.Error("a multimodal config has a vision_config and an llm_config; this one lacks one of them");
        }
        var vision = ConfigFile.Build(root);
        return new MultimodalConfig
        {
            Vision = vision,
            Language = LanguageConfigFile.Build(llm),
            SelectLayer = root.Count("select_layer", -4),
            DownsampleRatio = root.Number("downsample_ratio", 0.5),
            PixelShuffleVersion = root.RequireOneOf("ps_version", "v1", "v2") == "v2" ? PixelShuffleVersion.V2 : PixelShuffleVersion.V1,
            ForceImageSize = root.Count("force_image_size", vision.ImageHeight),
            Template = root.Text("template", ""),
            DynamicImageSize = root.Flag("dynamic_image_size", false),
            UseThumbnail = root.Flag("use_thumbnail", false),
            MinDynamicPatch = root.Count("min_dynamic_patch", 1),
            MaxDynamicPatch = root.Count("max_dynamic_patch", 6),
            AnyRes = Array.IndexOf(Positions, root.RequireOneOf(AnyRes, "none", Positions)) is >= 0 and var positions ? (PositionMode)positions : null,
            UseBackboneLora = root.Count("use_backbone_lora", 0),
            UseLlmLora = root.Count("use_llm_lora", 0),
            ImageContextTokenId = root.Count("img_context_token_id", SailVl2ImageContext),
        };
    }
}
