using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Checkpoints;

public sealed class CheckpointLoaderTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("aimv2_small", EncoderFamily.Aimv2)]
    [InlineData("internvit_small", EncoderFamily.InternVit)]
    public void OwnNamesLoad(string golden, EncoderFamily family) => AssertLoads(Read(golden), TestData.Golden(golden), family);

    [Fact]
    public void TheEncoderOfAMultimodalCheckpointLoads()
    {
        var all = Read("sailvl_qwen3_small");
        var expected = all.Where(t => t.Key.StartsWith("vision_model.", StringComparison.Ordinal)).ToDictionary(t => t.Key["vision_model.".Length..], t => t.Value);
        Assert.InRange(expected.Count, 1, all.Count - 1);
        AssertLoads(expected, TestData.Golden("sailvl_qwen3_small"), EncoderFamily.Aimv2);
    }

    [Theory]
    [InlineData("")]
    [InlineData("vision_model.")]
    public void TransformersNamesLoad(string prefix)
    {
        var own = Read("aimv2_small");
        var native = new Dictionary<string, Tensor> { [prefix + "head.probe"] = torch.ones(2) };
        foreach (var (name, tensor) in own.SelectMany(pair => ToTransformers(pair.Key, pair.Value)))
        {
            native.Add(prefix + name, tensor);
        }
        AssertLoads(own, Write("native", native), EncoderFamily.Aimv2);
    }

    [Fact]
    public void ShardsLoadThroughTheirIndex()
    {
        var own = Read("aimv2_small");
        var shards = own.Chunk(10).Select((chunk, i) => (Name: $"model-{i}.safetensors", Tensors: chunk.ToDictionary())).ToList();
        shards.ForEach(shard => SafetensorsWriter.Write(_folder.File(shard.Name), shard.Tensors));
        var map = shards.SelectMany(shard => shard.Tensors.Keys.Select(name => $"\"{name}\":\"{shard.Name}\""));
        _folder.Write(Checkpoint.IndexName, $$$"""{"metadata":{},"weight_map":{{{{string.Join(',', map)}}}}}""");
        AssertLoads(own, _folder.Path, EncoderFamily.Aimv2);
    }

    [Theory]
    [InlineData("[]", "weight_map")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{\"weight_map\":{\"a\":1}}", "weight_map")]
    [InlineData("{\"weight_map\":{\"a\":\"../x.safetensors\"}}", "same folder")]
    [InlineData("{\"weight_map\":{\"a\":\"none.safetensors\"}}", "no such file")]
    [InlineData("{\"weight_map\":{\"a\":\"there.safetensors\"}}", "should be in there.safetensors")]
    public void ABadIndexIsOneClearError(string index, string mentions)
    {
        SafetensorsWriter.Write(_folder.File("there.safetensors"), new Dictionary<string, Tensor>());
        _folder.Write(Checkpoint.IndexName, index);
        Assert.Contains(mentions, Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ValuesAreConvertedToTheModulesDType()
    {
        var own = Read("aimv2_small");
        var state = own.ToDictionary(pair => pair.Key, pair => torch.zeros(pair.Value.shape, ScalarType.BFloat16));
        CheckpointLoader.Load(state, TestData.Golden("aimv2_small"), EncoderFamily.Aimv2);
        Assert.All(state, pair => Assert.True(TestData.Same(pair.Value, own[pair.Key].to(ScalarType.BFloat16))));
    }

    [Fact]
    public void OneErrorListsEverythingThatDoesNotFitAndNothingIsLoaded()
    {
        var bad = Read("aimv2_small");
        bad.Remove("preprocessor.pos_embed");
        bad.Remove("trunk.blocks.1.norm_2.weight");
        bad.Add("extra.weight", torch.ones(1));
        bad["trunk.blocks.0.mlp.fc1.weight"] = torch.ones(7, 128);
        bad["trunk.post_trunk_norm.weight"] = torch.ones(128, dtype: ScalarType.Int64);
        var state = Zeros(Read("aimv2_small"));
        string message = Assert.Throws<CheckpointException>(() => CheckpointLoader.Load(state, Write("bad", bad), EncoderFamily.Aimv2)).Message;
        Assert.All((List<string>)["missing preprocessor.pos_embed, trunk.blocks.1.norm_2.weight", "unexpected extra.weight", "fc1.weight has shape [7, 128], must be [352, 128]", "post_trunk_norm.weight has dtype I64"],
            part => Assert.Contains(part, message, StringComparison.Ordinal));
        Assert.DoesNotContain('\n', message);
        Assert.All(state.Values, tensor => Assert.Equal(0, tensor.abs().sum().item<float>()));
    }

    [Fact]
    public void AMissingPartOfASplitProjectionIsReported()
    {
        var native = Read("aimv2_small").SelectMany(pair => ToTransformers(pair.Key, pair.Value)).ToDictionary();
        native.Remove("encoder.layers.1.attention.k_proj.weight");
        string message = Assert.Throws<CheckpointException>(() => CheckpointLoader.Load(Zeros(Read("aimv2_small")), Write("split", native), EncoderFamily.Aimv2)).Message;
        Assert.Contains("trunk.blocks.1.attn.qkv.weight", message, StringComparison.Ordinal);
        Assert.Contains("query, key and value", message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderWithoutACheckpointIsNamed() =>
        Assert.Contains("model.safetensors", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_folder.Path)).Message, StringComparison.Ordinal);

    private static void AssertLoads(Dictionary<string, Tensor> expected, string path, EncoderFamily family)
    {
        var state = Zeros(expected);
        CheckpointLoader.Load(state, path, family);
        Assert.All(expected, pair => Assert.True(TestData.Same(state[pair.Key], pair.Value), pair.Key));
    }

    private static Dictionary<string, Tensor> Zeros(Dictionary<string, Tensor> like) => like.ToDictionary(pair => pair.Key, pair => torch.zeros_like(pair.Value));

    private static Dictionary<string, Tensor> Read(string golden)
    {
        using var checkpoint = Checkpoint.Open(TestData.Golden(golden));
        return checkpoint.Names.ToDictionary(name => name, checkpoint.Read);
    }

    private string Write(string name, Dictionary<string, Tensor> tensors)
    {
        string path = _folder.File($"{name}.safetensors");
        SafetensorsWriter.Write(path, tensors);
        return path;
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> ToTransformers(string name, Tensor tensor)
    {
        string native = name.Replace("preprocessor.patchifier.proj", "embeddings.patch_embed", StringComparison.Ordinal)
            .Replace("preprocessor.patchifier.norm", "embeddings.rms_norm", StringComparison.Ordinal)
            .Replace("preprocessor.pos_embed", "embeddings.position_embedding.weight", StringComparison.Ordinal)
            .Replace("trunk.post_trunk_norm", "rms_norm", StringComparison.Ordinal)
            .Replace("trunk.blocks.", "encoder.layers.", StringComparison.Ordinal)
            .Replace(".norm_", ".rms_norm", StringComparison.Ordinal)
            .Replace("attn.proj", "attention.out_proj", StringComparison.Ordinal)
            .Replace("mlp.fc1", "ffn.gate_proj", StringComparison.Ordinal)
            .Replace("mlp.fc2", "ffn.down_proj", StringComparison.Ordinal)
            .Replace("mlp.fc3", "ffn.up_proj", StringComparison.Ordinal);
        if (!native.Contains("attn.qkv", StringComparison.Ordinal))
        {
            return [new(native, name.EndsWith("pos_embed", StringComparison.Ordinal) ? tensor.squeeze(0) : tensor)];
        }
        var parts = tensor.chunk(3, 0);
        return "qkv".Select((part, i) => new KeyValuePair<string, Tensor>(native.Replace("attn.qkv", $"attention.{part}_proj", StringComparison.Ordinal), parts[i]));
    }
}
