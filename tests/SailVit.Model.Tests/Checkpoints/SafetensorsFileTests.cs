using SailVit.Model.Checkpoints;
using TorchSharp;
using Xunit;
using static SailVit.Model.Tests.Checkpoints.SafetensorsBytes;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Checkpoints;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public static TheoryData<ScalarType> DTypes =>
        [ScalarType.Bool, ScalarType.Byte, ScalarType.Int8, ScalarType.Int16, ScalarType.Int32, ScalarType.Int64, ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32, ScalarType.Float64];

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [MemberData(nameof(DTypes))]
    public void EveryDTypeSurvivesARoundTrip(ScalarType dtype)
    {
        var tensor = (torch.randn(3, 5, 7, generator: new Generator(1)) * 50).to(dtype);
        var read = RoundTrip(tensor);
        Assert.Equal(dtype, read.dtype);
        Assert.Equal([3, 5, 7], read.shape);
        Assert.True(tensor.bytes.SequenceEqual(read.bytes));
    }

    [Fact]
    public void StridedScalarAndEmptyTensorsSurviveARoundTrip()
    {
        var transposed = torch.arange(12).view(3, 4).t();
        Assert.True(TestData.Same(RoundTrip(transposed), transposed));
        Assert.True(TestData.Same(RoundTrip(transposed[1]), transposed[1]));
        Assert.Equal(7f, RoundTrip(torch.tensor(7f)).item<float>());
        Assert.Equal([2, 0, 3], RoundTrip(torch.empty(2, 0, 3)).shape);
        Assert.True(TestData.Same(RoundTrip(torch.ones(3, requires_grad: true)), torch.ones(3)));
    }

    [Fact]
    public void TensorsOfMixedTypesAreAlignedAndNamed()
    {
        string path = _folder.File("mixed.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = torch.ones(3, dtype: ScalarType.Byte), ["b é"] = torch.ones(5, dtype: ScalarType.Float64), ["c"] = torch.ones(3, dtype: ScalarType.BFloat16) },
            new Dictionary<string, string> { ["files"] = "[\"a.png\"]" });
        using var file = SafetensorsFile.Open(path);
        Assert.Equal(["b é", "c", "a"], file.Tensors.Keys);
        Assert.All(file.Tensors.Values, entry => Assert.Equal(0, entry.Offset % (entry.Length / entry.Count)));
        Assert.Equal(0, file.Tensors["b é"].Offset % 64);
        Assert.Equal("[\"a.png\"]", file.Metadata["files"]);
    }

    [Fact]
    public void FilesOfTheReferenceImplementationAreRead()
    {
        using var file = SafetensorsFile.Open(TestData.Golden("aimv2_small", "model.safetensors"));
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal([384, 128], file.Tensors["trunk.blocks.2.attn.qkv.weight"].Shape);
        Assert.True(file.Tensors.Keys.All(name => file.Read(name).isfinite().all().item<bool>()));
    }

    [Fact]
    public void AnEmptyHeaderAndAPaddedOneAreValid()
    {
        using var empty = SafetensorsFile.Open(_folder.Write("empty", File("{}", 0)));
        Assert.Empty(empty.Tensors);
        using var padded = SafetensorsFile.Open(_folder.Write("padded", File("{" + Tensor("\"a\"", "\"U8\"", "[2]", "[0,2]") + "}    ", 2)));
        Assert.True(TestData.Same(padded.Read("a"), torch.tensor(new byte[] { 0, 1 })));
    }

    [Fact]
    public void ADTypeThatTorchSharpLacksIsListedButNotRead()
    {
        using var file = SafetensorsFile.Open(_folder.Write("f8", File("{" + Tensor("\"a\"", "\"F8_E4M3\"", "[2]", "[0,2]") + "}", 2)));
        Assert.Equal("F8_E4M3", file.Tensors["a"].DType);
        Assert.Contains("F8_E4M3", Assert.Throws<CheckpointException>(() => file.Read("a")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TensorsOutliveTheFile()
    {
        var file = SafetensorsFile.Open(_folder.Write("a", File("{" + Tensor("\"a\"", "\"U8\"", "[3]", "[0,3]") + "}", 3)));
        var tensor = file.Read("a");
        file.Dispose();
        file.Dispose();
        Assert.True(TestData.Same(tensor, torch.tensor(new byte[] { 0, 1, 2 })));
        Assert.Throws<ObjectDisposedException>(() => file.Read("a"));
    }

    [Fact]
    public void AMissingFileOrTensorIsNamed()
    {
        string missing = _folder.File("none.safetensors");
        Assert.StartsWith(missing, Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(missing)).Message, StringComparison.Ordinal);
        Assert.Contains("folder", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_folder.Path)).Message, StringComparison.Ordinal);
        using var file = SafetensorsFile.Open(_folder.Write("empty", File("{}", 0)));
        Assert.Contains("'x'", Assert.Throws<CheckpointException>(() => file.Read("x")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnAbandonedWriteLeavesNothingAndKeepsTheOldFile()
    {
        string path = _folder.Write("out.safetensors", "old");
        using (var writer = new SafetensorsWriter(path, [("a", ScalarType.Float32, [4, 1000])]))
        {
            writer.WriteRows("a", 0, torch.ones(2, 1000));
            Assert.Equal(2, Directory.GetFiles(_folder.Path).Length);
        }
        Assert.Equal("old", System.IO.File.ReadAllText(path));
        Assert.Single(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void AFullDiskIsOneClearErrorAndLeavesNothing()
    {
        // More than any disk has, so that the reservation fails before a byte is written.
        string path = _folder.File("huge.safetensors");
        var error = Assert.Throws<CheckpointException>(() => new SafetensorsWriter(path, [("a", ScalarType.Float32, [1L << 58])]));
        Assert.Contains(error.Message, (List<string>)[$"{path}: could not be written: the disk is full.", $"{path}: could not be written: the file is larger than the file system takes."]);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void RowsMayBeWrittenInAnyOrder()
    {
        string path = _folder.File("rows.safetensors");
        var rows = torch.randn(5, 3);
        using (var writer = new SafetensorsWriter(path, [("x", ScalarType.Float32, [5, 3]), ("y", ScalarType.Int64, [1])]))
        {
            writer.WriteRows("y", 0, torch.tensor(new long[] { 7 }));
            writer.WriteRows("x", 3, rows[3..]);
            writer.WriteRows("x", 0, rows[..3]);
            Assert.Throws<ArgumentException>(() => writer.WriteRows("x", 4, rows[3..]));
            Assert.Throws<ArgumentException>(() => writer.WriteRows("x", 0, rows.to(ScalarType.Float64)));
            Assert.False(System.IO.File.Exists(path));
            writer.Commit();
        }
        using var file = SafetensorsFile.Open(path);
        Assert.True(TestData.Same(rows, file.Read("x")));
        Assert.Equal(7, file.Read("y").item<long>());
    }

    [Fact]
    public void NumPyFilesHaveTheirHeaderAndBytes()
    {
        string path = _folder.File("x.npy");
        var values = torch.randn(2, 3);
        using (var writer = new NpyWriter(path, ScalarType.Float32, [2, 3]))
        {
            writer.WriteRows("x", 0, values);
            writer.Commit();
        }
        byte[] content = System.IO.File.ReadAllBytes(path);
        Assert.Equal("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, ), }", System.Text.Encoding.ASCII.GetString(content[10..128]).TrimEnd());
        Assert.Equal(118, BitConverter.ToUInt16(content, 8));
        Assert.True(content.AsSpan(128).SequenceEqual(values.bytes));
        Assert.Throws<CheckpointException>(() => new NpyWriter(path, ScalarType.BFloat16, [1]));
    }

    [Fact]
    public void AWriteIntoAMissingFolderIsOneClearError()
    {
        var error = Assert.Throws<CheckpointException>(() => SafetensorsWriter.Write(_folder.File("no/such/out.safetensors"), new Dictionary<string, Tensor>()));
        Assert.Contains("there is no folder", error.Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<CheckpointException>(() => SafetensorsWriter.Write(_folder.Path, new Dictionary<string, Tensor>())).Message, StringComparison.Ordinal);
    }

    private Tensor RoundTrip(Tensor tensor)
    {
        string path = _folder.File($"{Guid.NewGuid():N}.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["x"] = tensor });
        using var file = SafetensorsFile.Open(path);
        return file.Read("x");
    }
}
