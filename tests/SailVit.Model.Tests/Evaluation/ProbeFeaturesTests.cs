using Parquet;
using Parquet.Serialization;
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
        Refused("holds no class", () => ImageClasses.Open(Path.Combine(Set, "animals"), ["plants", "things"]));
        Refused("class animals, which the training set does not have", () => ImageClasses.Open(Set, ["plants", "things"]));
        Directory.CreateDirectory(Path.Combine(Set, "void"));
        Refused("holds no image", () => ImageClasses.Open(Set));
    }

    private sealed class Named
    {
        public byte[]? image { get; set; }

        public string? label { get; set; }
    }

    private sealed class Numbered
    {
        public byte[]? image { get; set; }

        public long? label { get; set; }
    }

    private async Task<string> Parquet<T>(string name, params T[] rows)
    {
        await ParquetSerializer.SerializeAsync(rows, _folder.File(name), new ParquetOptions { RowGroupSize = 2 });
        return _folder.File(name);
    }

    private static byte[] Bytes(string image) => File.ReadAllBytes(TestData.Image(image));

    [Fact]
    public async Task Parquet_GivesTheFeaturesOfTheFolders()
    {
        string named = await Parquet("named.parquet", new Named { image = Bytes("rocket.jpg"), label = "things" }, new Named { image = Bytes("chelsea.png"), label = "animals" }, new Named { image = Bytes("coffee.png"), label = "things" });
        using var folders = Encode(mean: true, "a");
        var set = ImageClasses.Open(named);
        Assert.Equal(["animals", "things"], set.Classes);
        Assert.Equal([named], set.Files);
        using var rows = ProbeFeatures.Encode(_encoder, set, true, null, "b", 2);
        Assert.Equal([1L, 0L, 1L], rows.Labels.data<long>());
        using var order = tensor(new long[] { 2, 0, 1 });
        Assert.True(folders.Tokens.index_select(0, order).allclose(rows.Tokens, 1e-5, 1e-5));

        string numbered = await Parquet("numbered.parquet", new Numbered { image = Bytes("rocket.jpg"), label = 10 }, new Numbered { image = Bytes("chelsea.png"), label = 9 });
        Assert.Equal(["9", "10"], ImageClasses.Open(numbered).Classes);
        // Of a test set one class may be missing; its numbers are those of the training set.
        string one = await Parquet("one.parquet", new Named { image = Bytes("rocket.jpg"), label = "things" });
        Assert.Equal(1, Assert.Single(ImageClasses.Open(one, set.Classes).Images).Class);
    }

    [Fact]
    public async Task Parquet_ThatIsNoSetOfClasses_IsRefusedInOneLine()
    {
        void Refused(string mentions, Action open)
        {
            string message = Assert.Throws<ArgumentException>(open).Message;
            Assert.Contains(mentions, message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', message);
        }
        string named = await Parquet("1.parquet", new Named { image = [], label = "a" }, new Named { label = "b" });
        Refused("label is neither", () => ImageClasses.Open(Parquet("2.parquet", new Numbered { image = [] }).Result));
        Refused("holds the class b", () => ImageClasses.Open(named, ["a", "c"]));
        Refused("has 1 classes", () => ImageClasses.Open(Parquet("3.parquet", new Named { label = "a" }).Result));
        Refused("there is no such file", () => ImageClasses.Open(_folder.File("none.parquet")));
        Refused("needed is one of label", () => ImageClasses.Open(Parquet("4.parquet", new { image = "x" }).Result));
        Refused("row 2: has no image", () => ImageClasses.Open(named).Images[1].Decode());
    }

    private static Dictionary<string, string> Metadata(string path)
    {
        using var file = SafetensorsFile.Open(path);
        return file.Metadata.ToDictionary();
    }
}
