using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Evaluation;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Evaluation;

public sealed class ProbeFeaturesTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly VisionTransformer _encoder;

    public ProbeFeaturesTests()
    {
        _encoder = new VisionTransformer(ConfigFile.Read(TestData.Golden("aimv2_small")));
        CheckpointLoader.Load(_encoder, TestData.Golden("aimv2_small"), EncoderFamily.Aimv2);
        Put("animals", "chelsea.png");
        Put("things", "coffee.png", "rocket.jpg");
    }

    public void Dispose()
    {
        _encoder.Dispose();
        _scope.Dispose();
        _folder.Dispose();
    }

    private string Set => _folder.File("set");

    private void Put(string name, params string[] images)
    {
        string folder = Directory.CreateDirectory(Path.Combine(Set, name)).FullName;
        images.ToList().ForEach(i => File.Copy(TestData.Image(i), Path.Combine(folder, i)));
    }

    private ProbeFeatures Encode(bool mean, string source, List<int>? batches = null, int batchSize = 2) =>
        ProbeFeatures.Encode(_encoder, ImageClasses.Open(Set), mean, _folder.File("cache.safetensors"), source, batchSize, batches is null ? null : batches.Add);

    [Fact]
    public void FeaturesAreThoseOfTheLastBlock()
    {
        using var tokens = Encode(mean: false, "a");
        using var mean = Encode(mean: true, "a", batchSize: 3);
        Assert.Equal([3, 16, 128], tokens.Tokens.shape);
        Assert.Equal([0L, 1L, 1L], tokens.Labels.data<long>());
        Assert.True(mean.Tokens.allclose(tokens.Tokens.mean([1], keepdim: true), 1e-5, 1e-5));
    }

    [Fact]
    public void ACache_IsReadForTheSameAndMadeAnewForAnother()
    {
        string cache = _folder.File("cache.safetensors");
        using var first = Encode(mean: true, "a");
        // Other numbers under the same name show whether the file was read.
        SafetensorsWriter.Write(cache, new Dictionary<string, Tensor> { ["tokens"] = first.Tokens + 1, ["labels"] = first.Labels }, Metadata(cache));
        var batches = new List<int>();
        using var second = Encode(mean: true, "a", batches);
        Assert.Equal([3], batches);
        Assert.True(TestData.Same(first.Tokens + 1, second.Tokens));
        using var third = Encode(mean: true, "b", batches);
        Assert.Equal([3, 2, 1], batches);
        Assert.True(TestData.Same(first.Tokens, third.Tokens));
        Put("plants", "astronaut.png");
        using var fourth = Encode(mean: true, "b");
        Assert.Equal(4, fourth.Count);
    }

    [Fact]
    public void Cancelled_KeepsNothing()
    {
        using var cancel = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => ProbeFeatures.Encode(_encoder, ImageClasses.Open(Set), true, _folder.File("cache.safetensors"), "a", 1, _ => cancel.Cancel(), cancel.Token));
        Assert.False(File.Exists(_folder.File("cache.safetensors")));
    }

    [Fact]
    public void Sets_ThatAreNone_AreRefused()
    {
        void Refused(string mentions, Func<ImageClasses> open) => Assert.Contains(mentions, Assert.Throws<ArgumentException>(open).Message, StringComparison.Ordinal);
        Assert.Equal(["animals", "things"], ImageClasses.Open(Set).Classes);
        Refused("no such folder", () => ImageClasses.Open(_folder.File("none")));
        Refused("at least 2", () => ImageClasses.Open(Path.Combine(Set, "animals")));
        Refused("class animals, which the training set does not have", () => ImageClasses.Open(Set, ["plants", "things"]));
        Directory.CreateDirectory(Path.Combine(Set, "void"));
        Refused("holds no image", () => ImageClasses.Open(Set));
    }

    private static Dictionary<string, string> Metadata(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return file.Metadata.ToDictionary();
    }
}
