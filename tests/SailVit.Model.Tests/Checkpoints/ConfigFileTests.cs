using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using Xunit;

namespace SailVit.Model.Tests.Checkpoints;

public sealed class ConfigFileTests
{
    private const string Sizes = "\"hidden_size\":128,\"intermediate_size\":352,\"num_hidden_layers\":3,\"num_attention_heads\":2,\"image_size\":56";

    [Fact]
    public void GoldenAimv2IsReadAsItIs()
    {
        var config = ConfigFile.Read(TestData.Golden("aimv2_small"));
        Assert.Equal((EncoderFamily.Aimv2, 128, 352, 3, 2), (config.Family, config.HiddenSize, config.IntermediateSize, config.Layers, config.Heads));
        Assert.Equal((56, 56, 14, 1e-5), (config.ImageHeight, config.ImageWidth, config.PatchSize, config.Eps));
        Assert.Equal((NormKind.RmsNorm, MlpKind.SwiGlu, PositionKind.Learned), (config.Norm, config.Mlp, config.Position));
        Assert.Equal((true, true, false, false, false), (config.PatchNorm, config.FinalNorm, config.ClassToken, config.LayerScale, config.QkvBias));
    }

    [Fact]
    public void GoldenInternVitIsReadAsItIs()
    {
        var config = ConfigFile.Read(TestData.Golden("internvit_small", "config.json"));
        Assert.Equal((EncoderFamily.InternVit, NormKind.LayerNorm, MlpKind.Gelu, 1e-6), (config.Family, config.Norm, config.Mlp, config.Eps));
        Assert.Equal((true, true, true, true, false, false, false), (config.QkvBias, config.UseBias, config.LayerScale, config.ClassToken, config.QkNorm, config.FinalNorm, config.PatchNorm));
        Assert.Equal(0.1, config.LayerScaleInit);
    }

    [Fact]
    public void TheVisionConfigOfAMultimodalConfigIsRead()
    {
        var config = ConfigFile.Read(TestData.Golden("sailvl_qwen3_small"));
        Assert.Equal((EncoderFamily.Aimv2, 5, 128), (config.Family, config.Layers, config.HiddenSize));
    }

    [Theory]
    [InlineData("sailvl_qwen3_small", -4)]
    [InlineData("aimv2_small", null)]
    public void TheHiddenStateOfAMultimodalModelIsRead(string golden, int? layer) =>
        Assert.Equal(layer, ConfigFile.ReadSelectLayer(TestData.Golden(golden)));

    [Theory]
    [InlineData("aimv2_small")]
    [InlineData("internvit_small")]
    public void ParametersAreCountedAsInTheCheckpoint(string golden)
    {
        using var checkpoint = Checkpoint.Open(TestData.Golden(golden));
        Assert.Equal(checkpoint.Names.Sum(name => checkpoint.Entry(name).Count), ConfigFile.Read(TestData.Golden(golden)).ParameterCount);
    }

    [Theory]
    [InlineData("sailvit-large", 309_984_256, 735.7)]
    [InlineData("sailvit-huge", 682_031_616, 1548.0)]
    public void PublishedSizesAreMet(string preset, long parameters, double gigaFlops)
    {
        var config = EncoderPresets.Get(preset);
        Assert.Equal(parameters, config.ParameterCount);
        Assert.Equal(gigaFlops, config.FlopsPerImage / 1e9, 0.05);
    }

    [Fact]
    public void EveryPresetIsValid() => Assert.All(EncoderPresets.Names, name => EncoderPresets.Get(name).Validate());

    [Fact]
    public void AnUnknownPresetListsTheKnown() =>
        Assert.Contains("sailvit-huge", Assert.Throws<ArgumentException>(() => EncoderPresets.Get("sailvit-tiny")).Message, StringComparison.Ordinal);

    [Fact]
    public void ImageSizeMayBeAPairAndPositionsSinCos()
    {
        var config = ConfigFile.Parse($$"""{"model_type":"aimv2",{{Sizes.Replace("56", "[28,70]", StringComparison.Ordinal)}},"pos_embed_type":"sincos","use_bias":true}""");
        Assert.Equal((28, 70, PositionKind.SinCos, true), (config.ImageHeight, config.ImageWidth, config.Position, config.UseBias));
    }

    [Theory]
    [InlineData("{\"model_type\":\"bert\"}", "aimv2, aimv2_vision_model, sailvit")]
    [InlineData("{}", "model_type is missing")]
    [InlineData("[]", "must be a JSON object")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{\"model_type\":7}", "must be a string")]
    [InlineData("{\"model_type\":\"aimv2\",\"image_size\":56}", "hidden_size is missing")]
    [InlineData("{\"model_type\":\"aimv2\"}", "image_size is missing")]
    [InlineData("{\"model_type\":\"aimv2\",\"vision_config\":3}", "must be a JSON object")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"patch_size\":13}", "multiple of patch_size 13")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"patch_size\":0}", "patch_size is 0")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"patch_size\":1.5}", "whole number")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"rms_norm_eps\":\"x\"}", "must be a number")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"attention_dropout\":0.1}", "only 0 is supported")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"pos_embed_type\":\"rope\"}", "sincos")]
    [InlineData("{\"model_type\":\"aimv2\"," + Sizes + ",\"qkv_bias\":1}", "true or false")]
    [InlineData("{\"model_type\":\"intern_vit_6b\"," + Sizes + ",\"hidden_act\":\"relu\"}", "gelu")]
    public void AConfigThatCannotBeUsedIsOneClearError(string json, string mentions) =>
        Assert.Contains(mentions, Assert.Throws<CheckpointException>(() => ConfigFile.Parse(json)).Message, StringComparison.Ordinal);

    [Fact]
    public void AMissingConfigIsNamed() =>
        Assert.Contains("config.json", Assert.Throws<CheckpointException>(() => ConfigFile.Read(TestData.Root)).Message, StringComparison.Ordinal);
}
