using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Multimodal;

public sealed class MultimodalCheckpointTests
{
    private static readonly string Golden = TestData.Golden("sailvl_qwen3_small");

    private static void AssertSame(MultimodalModel a, MultimodalModel b)
    {
        var (left, right) = (a.state_dict(), b.state_dict());
        Assert.Equal(left.Keys, right.Keys);
        Assert.All(left, pair => Assert.True(TestData.Same(pair.Value, right[pair.Key]), pair.Key));
    }

    /// <summary>The golden config with changes, beside the golden weights or others.</summary>
    private static void WriteConfig(TempFolder folder, Action<JsonObject> change)
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(Golden, "config.json")))!.AsObject();
        change(json);
        folder.Write("config.json", json.ToJsonString());
    }

    [Fact]
    public void SavedAndLoaded_IsTheSame_WithTheTokenizersFiles()
    {
        using var scope = NewDisposeScope();
        using var source = new TempFolder();
        using var target = new TempFolder();
        File.Copy(Path.Combine(Golden, "model.safetensors"), source.File("model.safetensors"));
        WriteConfig(source, json => json["pad2square"] = false);
        source.Write("tokenizer.json", "{}");
        source.Write("merges.txt", "a b");
        source.Write("README.md", "not the model's");
        using var model = MultimodalModel.Load(source.Path);
        model.Save(target.Path);

        using var again = MultimodalModel.Load(target.Path);
        AssertSame(model, again);
        Assert.Equal(model.Config, again.Config);
        Assert.Equal("{}", File.ReadAllText(target.File("tokenizer.json")));
        Assert.True(File.Exists(target.File("merges.txt")));
        Assert.False(File.Exists(target.File("README.md")));
        // A key that this model does not read is kept; so are the published names.
        Assert.False(JsonNode.Parse(File.ReadAllText(target.File("config.json")))!["pad2square"]!.GetValue<bool>());
        using var file = Checkpoint.Open(target.Path);
        using var original = Checkpoint.Open(Golden);
        Assert.Equal(original.Names.Order(), file.Names.Order());
    }

    [Fact]
    public void DType_IsTheCheckpointsOwnUnlessAskedFor()
    {
        using var scope = NewDisposeScope();
        using var folder = new TempFolder();
        using (var model = MultimodalModel.Load(Golden, bfloat16))
        {
            Assert.All(model.parameters(), p => Assert.Equal(bfloat16, p.dtype));
            model.Save(folder.Path);
        }
        using var own = MultimodalModel.Load(folder.Path);
        Assert.All(own.parameters(), p => Assert.Equal(bfloat16, p.dtype));
        using var wide = MultimodalModel.Load(folder.Path, float32);
        Assert.All(wide.parameters(), p => Assert.Equal(float32, p.dtype));
        Assert.True(TestData.Same(own.Language.Head.to(float32), wide.Language.Head));
    }

    [Fact]
    public void NewModel_TiedAndQwen2_IsWrittenAsItsClassSays()
    {
        using var scope = NewDisposeScope();
        using var folder = new TempFolder();
        var config = MultimodalConfigFile.Read(Golden);
        config = config with { PixelShuffleVersion = PixelShuffleVersion.V1, SelectLayer = -1, Language = config.Language with { Family = LanguageFamily.Qwen2, QkNorm = false, QkvBias = true, TieEmbeddings = true } };
        using var model = new MultimodalModel(config);
        model.Save(folder.Path);
        using var again = MultimodalModel.Load(folder.Path);
        AssertSame(model, again);
        using var file = Checkpoint.Open(folder.Path);
        Assert.DoesNotContain("language_model.lm_head.weight", file.Names);
        Assert.Contains("language_model.model.layers.0.self_attn.q_proj.bias", file.Names);
        // Some frameworks store the tied head once more.
        var state = new Dictionary<string, Tensor>(model.state_dict()) { ["language_model.lm_head.weight"] = model.Language.Head };
        CheckpointWriter.Write(folder.Path, state);
        using var third = MultimodalModel.Load(folder.Path);
        AssertSame(model, third);
    }

    [Fact]
    public void EveryTensorThatDoesNotFit_IsListed()
    {
        using var scope = NewDisposeScope();
        using var folder = new TempFolder();
        WriteConfig(folder, _ => { });
        using var original = Checkpoint.Open(Golden);
        var state = original.Names.ToDictionary(name => name, original.Read);
        state.Remove("language_model.lm_head.weight");
        state.Remove("mlp1.0.bias");
        state["vision_model.trunk.extra.weight"] = ones(2);
        state["language_model.model.norm.weight"] = ones(7);
        CheckpointWriter.Write(folder.Path, state);
        string message = Assert.Throws<CheckpointException>(() => MultimodalModel.Load(folder.Path)).Message;
        Assert.Contains("missing language_model.lm_head.weight, mlp1.0.bias", message, StringComparison.Ordinal);
        Assert.Contains("unexpected vision_model.trunk.extra.weight", message, StringComparison.Ordinal);
        Assert.Contains("language_model.model.norm.weight has shape [7], must be [96]", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("llm_config", null, "lacks one of them")]
    [InlineData("llm_config.architectures", "[\"LlamaForCausalLM\"]", "known are Qwen2ForCausalLM, Qwen3ForCausalLM")]
    [InlineData("llm_config.rope_scaling", "{\"type\": \"yarn\"}", "rope_scaling is set")]
    [InlineData("llm_config.use_sliding_window", "true", "use_sliding_window is true")]
    [InlineData("llm_config.num_key_value_heads", "3", "must be a multiple of num_key_value_heads 3")]
    [InlineData("llm_config.hidden_size", null, "hidden_size is missing")]
    [InlineData("select_layer", "-6", "the encoder has 5 hidden states")]
    [InlineData("downsample_ratio", "0.4", "must be 1 / a whole number")]
    [InlineData("force_image_size", "60", "must be a multiple of 28")]
    [InlineData("ps_version", "\"v3\"", "supported are v1, v2")]
    [InlineData("img_context_token_id", "512", "the vocabulary has 512 tokens")]
    public void BadConfig_IsOneClearLine(string key, string? value, string message)
    {
        using var folder = new TempFolder();
        WriteConfig(folder, json =>
        {
            string[] path = key.Split('.');
            var owner = path.Length == 1 ? json : json[path[0]]!.AsObject();
            owner.Remove(path[^1]);
            if (value is not null)
            {
                owner[path[^1]] = JsonNode.Parse(value);
            }
        });
        Assert.Contains(message, Assert.Throws<CheckpointException>(() => MultimodalConfigFile.Read(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ImagePlacesAndEmbeddings_MustBeAsMany()
    {
        using var scope = NewDisposeScope();
        using var model = MultimodalModel.Load(Golden);
        var ids = tensor([1L, 511, 511, 2], dtype: int64);
        Assert.Contains("2 image places", Assert.Throws<ArgumentException>(() => model.Embed(ids, zeros(4, 96))).Message, StringComparison.Ordinal);
        Assert.Contains("2 image places", Assert.Throws<ArgumentException>(() => model.Embed(ids, null)).Message, StringComparison.Ordinal);
        Assert.Contains("multiples of 28", Assert.Throws<ArgumentException>(() => model.EncodeImages(zeros(1, 3, 56, 42))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(PixelShuffleVersion.V1)]
    [InlineData(PixelShuffleVersion.V2)]
    public void PixelShuffle_IsInternVLs(PixelShuffleVersion version)
    {
        using var scope = NewDisposeScope();
        // InternVL's own steps on [N, W, H, C]; V2 swaps back.
        var x = arange(2 * 4 * 6 * 3, dtype: float32).view(2, 4, 6, 3);
        var merged = x.view(2, 4, 3, 6).permute(0, 2, 1, 3).contiguous().view(2, 3, 2, 12);
        var expected = version == PixelShuffleVersion.V2 ? merged.permute(0, 2, 1, 3).contiguous() : merged;
        Assert.True(TestData.Same(expected.view(2, 6, 12), PixelShuffle.Apply(x.view(2, 24, 3), 4, 6, 2, version)));
    }

    [Fact]
    public void LoadingALanguageModel_DrawsForTorchsEmbeddingAlone()
    {
        using var scope = NewDisposeScope();
        var config = LanguageConfigFile.Read(TestData.Golden("sailvl_qwen3_small"));
        random.manual_seed(5);
        using var embedding = nn.Embedding(config.VocabSize, config.HiddenSize);
        var expected = rand(8);
        random.manual_seed(5);
        using var model = LanguageCheckpoint.Load(TestData.Golden("sailvl_qwen3_small"));
        Assert.True(TestData.Same(expected, rand(8)));
        Assert.All(model.parameters(), p => Assert.True(p.requires_grad));
    }
}
