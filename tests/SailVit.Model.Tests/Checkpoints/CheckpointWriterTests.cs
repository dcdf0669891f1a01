using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Tests.Cli;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Checkpoints;

public sealed class CheckpointWriterTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(CheckpointWriter.DefaultMaxShardBytes)]
    [InlineData(600)]
    [InlineData(1)]
    public void TensorsSurviveARoundTripBitForBit(long maxShardBytes)
    {
        var tensors = Mixed();
        CheckpointWriter.Write(_folder.Path, tensors, maxShardBytes);
        AssertHolds(tensors);
    }

    [Fact]
    public void ASmallCheckpointIsOneFileAndALargeOneHasNumberedShardsAndAnIndex()
    {
        // 400 bytes each: two fit into a shard of 800, and the large one stands alone, before the shard that was open.
        var tensors = new Dictionary<string, Tensor> { ["b"] = torch.ones(100), ["a"] = torch.ones(100), ["c"] = torch.ones(100), ["large"] = torch.ones(300), ["d"] = torch.ones(100, dtype: ScalarType.BFloat16) };
        CheckpointWriter.Write(_folder.Path, tensors);
        Assert.Equal(["model.safetensors"], Names());

        CheckpointWriter.Write(_folder.Path, tensors, 800);
        string[] shards = [.. Enumerable.Range(1, 3).Select(i => $"model-0000{i}-of-00003.safetensors")];
        Assert.Equal([.. shards, "model.safetensors.index.json"], Names());
        using var index = JsonDocument.Parse(File.ReadAllText(_folder.File(Checkpoint.IndexName)));
        Assert.Equal(2600, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        Assert.Equal([("a", shards[0]), ("b", shards[0]), ("c", shards[2]), ("d", shards[2]), ("large", shards[1])],
            index.RootElement.GetProperty("weight_map").EnumerateObject().Select(entry => (entry.Name, entry.Value.GetString()!)));
        using var shard = SafetensorsFile.Open(_folder.File(shards[2]));
        Assert.Equal("pt", shard.Metadata["format"]);
        Assert.Equal(["c", "d"], shard.Tensors.Keys.Order());

        CheckpointWriter.Write(_folder.Path, tensors);
        Assert.Equal(["model.safetensors"], Names());
    }

    [Theory]
    [InlineData(5000, 600)]
    [InlineData(600, 5000)]
    [InlineData(600, 600)] // the same names
    [InlineData(600, 300)]
    [InlineData(5000, 5000)]
    public void AtEveryMomentAReaderFindsTheOldCheckpointOrTheNew(long oldShard, long newShard)
    {
        var old = Mixed();
        var changed = old.ToDictionary(t => t.Key, t => t.Value.logical_not().to(t.Value.dtype));
        CheckpointWriter.Write(_folder.Path, old, oldShard);
        int steps = 0;
        bool isNew = false;
        void Look()
        {
            steps++;
            using var scope = torch.NewDisposeScope();
            using var now = Checkpoint.Open(_folder.Path);
            Assert.Equal(old.Keys.Order(), now.Names.Order());
            bool[] changes = [.. old.Keys.Where(name => old[name].numel() > 0).Select(name => TestData.Same(now.Read(name), changed[name]))];
            Assert.Single(changes.Distinct());
            Assert.False(isNew && !changes[0], "the old one came back");
            isNew = changes[0];
        }
        CheckpointWriter.Write(_folder.Path, changed, newShard, config: null, Look);
        Assert.True(isNew && steps > 0);
        AssertHolds(changed);
        Assert.DoesNotContain(Names(), name => name.EndsWith(".tmp", StringComparison.Ordinal) || File.ResolveLinkTarget(_folder.File(name), false) is not null);
    }

    [Theory]
    [InlineData(5000)]
    [InlineData(600)]
    public void AFailedWriteLeavesTheOldCheckpointWhole(long maxShardBytes)
    {
        var old = Mixed();
        CheckpointWriter.Write(_folder.Path, old, maxShardBytes);
        string[] before = Names();
        var bad = new Dictionary<string, Tensor>(old) { ["z"] = torch.zeros(2, dtype: ScalarType.ComplexFloat64) };
        Assert.Contains("'z' has dtype", Assert.Throws<CheckpointException>(() => CheckpointWriter.Write(_folder.Path, bad, maxShardBytes)).Message, StringComparison.Ordinal);
        // One value, claimed 2⁶⁰ times: no disk has the space, and the reservation fails before a byte is written.
        var huge = new Dictionary<string, Tensor>(old) { ["z"] = torch.zeros(1).expand(1L << 58) };
        Assert.Matches("disk is full|larger than the file system takes", Assert.Throws<CheckpointException>(() => CheckpointWriter.Write(_folder.Path, huge, maxShardBytes)).Message);
        Assert.Equal(before, Names());
        AssertHolds(old);
    }

    [Fact]
    public void AKilledWriteIsClearedAwayByTheNext()
    {
        _folder.Write($"model-00001-of-00002.safetensors.1f-{Guid.NewGuid():N}.tmp", "half");
        _folder.Write("model-00004-of-00007.safetensors", "of an older one");
        _folder.Write("model.other.safetensors", "not ours");
        CheckpointWriter.Write(_folder.Path, Mixed());
        Assert.Equal(["model.other.safetensors", "model.safetensors"], Names());
    }

    [Fact]
    public void AWrongPathIsOneClearErrorAndLeavesNothing()
    {
        string file = _folder.Write("file", "x");
        Assert.Contains("is a file", Assert.Throws<CheckpointException>(() => CheckpointWriter.Write(file, Mixed())).Message, StringComparison.Ordinal);
        Assert.Contains("could not be made", Assert.Throws<CheckpointException>(() => CheckpointWriter.Write(Path.Combine(file, "below"), Mixed())).Message, StringComparison.Ordinal);
        Assert.Contains("empty path", Assert.Throws<CheckpointException>(() => CheckpointWriter.Write("", Mixed())).Message, StringComparison.Ordinal);
        Assert.Throws<CheckpointException>(() => CheckpointWriter.Write(_folder.File("new"), new Dictionary<string, Tensor> { ["z"] = torch.zeros(2, dtype: ScalarType.ComplexFloat64) }));
        Assert.Throws<ArgumentOutOfRangeException>(() => CheckpointWriter.Write(_folder.File("new"), Mixed(), 0));
        Assert.Equal(["file"], Names());
    }

    [Theory]
    [InlineData("aimv2_small", 1_000_000)]
    [InlineData("internvit_small", CheckpointWriter.DefaultMaxShardBytes)]
    public void ASavedEncoderReloadsAndVerifies(string golden, long maxShardBytes)
    {
        var config = ConfigFile.Read(TestData.Golden(golden));
        using var encoder = new VisionTransformer(config);
        CheckpointLoader.Load(encoder, TestData.Golden(golden), config.Family);
        CheckpointWriter.Save(encoder, _folder.Path, maxShardBytes);
        Assert.Equal(config, ConfigFile.Read(_folder.Path));
        using var published = Checkpoint.Open(TestData.Golden(golden));
        AssertHolds(published.Names.ToDictionary(name => name, published.Read));
        var (exit, output, error) = Sailvit.Run("verify", "--weights", _folder.Path, "--expected", TestData.Golden(golden, "expected.safetensors"), "--tolerance", "1e-5");
        Assert.True(exit == 0, output + error);
    }

    [Fact]
    public void AnEncoderInBFloat16KeepsItsDType()
    {
        var config = ConfigFile.Read(TestData.Golden("aimv2_small"));
        using var encoder = new VisionTransformer(config).to(ScalarType.BFloat16);
        CheckpointWriter.Save(encoder, _folder.File("made/on/the/way"));
        AssertHolds(encoder.state_dict(), _folder.File("made/on/the/way"));
    }

    [Fact]
    public void EveryPresetHasAConfigThatReadsBack() =>
        Assert.All(EncoderPresets.Names.Select(EncoderPresets.Get), config => Assert.Equal(config, ConfigFile.Parse(ConfigFile.Text(config))));

    [Fact]
    public void AnEncoderThatNoConfigDescribesIsRefused()
    {
        var config = EncoderPresets.Get("aimv2-base") with { ImageHeight = 28, Position = PositionKind.SinCos };
        Assert.Equal(config, ConfigFile.Parse(ConfigFile.Text(config)));
        Assert.Contains("cannot describe", Assert.Throws<CheckpointException>(() => ConfigFile.Text(config with { ClassToken = true })).Message, StringComparison.Ordinal);
    }

    private static Dictionary<string, Tensor> Mixed() => new()
    {
        ["w"] = torch.randn(10, 12, generator: new Generator(1)).t(),
        ["ids"] = torch.arange(40),
        ["b é"] = torch.ones(70, dtype: ScalarType.BFloat16),
        ["scalar"] = torch.tensor(3.5, ScalarType.Float64),
        ["empty"] = torch.empty(0, 3),
        ["mask"] = torch.arange(3).to(ScalarType.Bool),
    };

    private string[] Names() => [.. Directory.GetFiles(_folder.Path).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    private void AssertHolds(Dictionary<string, Tensor> expected, string? folder = null)
    {
        using var checkpoint = Checkpoint.Open(folder ?? _folder.Path);
        Assert.Equal(expected.Keys.Order(), checkpoint.Names.Order());
        Assert.All(expected, pair => Assert.True(TestData.Same(checkpoint.Read(pair.Key), pair.Value), pair.Key));
    }
}
