using System.Text.Json.Nodes;
using SailVit.Model.Encoders;

namespace SailVit.Model.Checkpoints;

/// <summary>The keys of a Hugging Face <c>config.json</c>, as the published models have them.</summary>
internal static class ConfigWriter
{
    public static JsonObject Describe(EncoderConfig config) => config.Family == EncoderFamily.Aimv2 ? Aimv2(config) : InternVit(config);

    private static JsonObject Aimv2(EncoderConfig config)
    {
        var json = Sizes("AIMv2Model", "aimv2", config);
        json["rms_norm_eps"] = config.Eps;
        json["attention_dropout"] = 0.0;
        json["projection_dropout"] = 0.0;
        json["hidden_act"] = "silu";
        json["qkv_bias"] = config.QkvBias;
        json["use_bias"] = config.UseBias;
        json["pos_embed_type"] = config.Position == PositionKind.SinCos ? "sincos" : "absolute";
        return json;
    }

    private static JsonObject InternVit(EncoderConfig config)
    {
        var json = Sizes("InternVisionModel", "intern_vit_6b", config);
        json["hidden_act"] = config.Mlp == MlpKind.Gelu ? "gelu" : "gelu_pytorch_tanh";
        json["norm_type"] = config.Norm == NormKind.LayerNorm ? "layer_norm" : "rms_norm";
        json["layer_norm_eps"] = config.Eps;
        json["qk_normalization"] = config.QkNorm;
        json["qkv_bias"] = config.QkvBias;
        json["drop_path_rate"] = config.DropPath;
        json["dropout"] = 0.0;
        json["attention_dropout"] = 0.0;
        json["initializer_factor"] = config.LayerScaleInit;
        return json;
    }

    private static JsonObject Sizes(string architecture, string modelType, EncoderConfig config) => new()
    {
        ["architectures"] = new JsonArray(architecture),
        ["model_type"] = modelType,
        ["hidden_size"] = config.HiddenSize,
        ["intermediate_size"] = config.IntermediateSize,
        ["num_hidden_layers"] = config.Layers,
        ["num_attention_heads"] = config.Heads,
        ["num_channels"] = config.Channels,
        ["image_size"] = config.ImageHeight == config.ImageWidth ? config.ImageHeight : new JsonArray(config.ImageHeight, config.ImageWidth),
        ["patch_size"] = config.PatchSize,
    };
}
