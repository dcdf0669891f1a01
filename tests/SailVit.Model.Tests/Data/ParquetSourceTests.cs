using Parquet;
using Parquet.Serialization;
using SailVit.Model.Data;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;

namespace SailVit.Model.Tests.Data;

public sealed class ParquetSourceTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class Picture
    {
        public byte[]? bytes { get; set; }

        public string? path { get; set; }
    }

    private sealed class Turn
    {
        public string? from { get; set; }

        public string? value { get; set; }
    }

    private sealed class Chat
    {
        public Picture? image { get; set; }

        public List<Turn>? conversations { get; set; }
    }

    private sealed class Several
    {
        public List<Picture>? images { get; set; }

        public string? conversations { get; set; }
    }

    internal sealed class Caption
    {
        public byte[]? image { get; set; }

        public string? caption { get; set; }
    }

    /// <summary>A file of pictures with captions, two row groups at least.</summary>
    internal static async Task<byte[]> Bytes(params Caption[] rows)
    {
        using var stream = new MemoryStream();
        await ParquetSerializer.SerializeAsync(rows, stream, new ParquetOptions { RowGroupSize = 1 });
        return stream.ToArray();
    }

    private async Task<string> Write<T>(string name, int rowGroup, params T[] rows)
    {
        await ParquetSerializer.SerializeAsync(rows, _folder.File(name), new ParquetOptions { RowGroupSize = rowGroup });
        return _folder.File(name);
    }

    [Fact]
    public async Task RowsOfAllFormsAreRead()
    {
        string[] paths =
        [
            await Write("1.parquet", 2, [.. Enumerable.Range(0, 5).Select(i => new Chat { image = i == 3 ? null : new Picture { bytes = Jpeg(4 + i, 4), path = "x.jpg" }, conversations = [new() { from = "human", value = "What?" }, new() { from = "gpt", value = $"Picture {i}" }] })]),
            await Write("2.parquet", 10, new Several { images = [new() { bytes = Jpeg(4, 4) }, new() { bytes = Jpeg(5, 4) }], conversations = """[{"from": "human", "value": "<image><image>"}, {"from": "gpt", "value": "Two"}]""" }),
            await Write("3.parquet", 10, new Caption { image = Jpeg(6, 4), caption = "Six." }, new Caption { image = Jpeg(6, 4) }),
        ];
        using var source = new ParquetSource("p", paths);
        Assert.Equal([2, 2, 1, 1, 2], source.Groups);
        // In an order that needs groups again after they left the cache.
        foreach (int i in new[] { 4, 0, 2, 1, 0 })
        {
            Assert.Equal($"Picture {i}", source.Read(i).Messages[1].Content);
            Assert.Equal(Jpeg(4 + i, 4), source.Read(i).Images[0].Read());
        }
        var empty = source.Read(3);
        Assert.True(empty.Images.Count == 0 || Assert.Throws<SampleException>(() => empty.Images[0].Read()).Reason == SkipReason.MissingImage);
        Assert.Equal(Jpeg(5, 4), source.Read(5).Images[1].Read());
        Assert.Equal("Six.", source.Read(6).Messages[1].Content);
        Assert.Equal(SkipReason.Malformed, Assert.Throws<SampleException>(() => source.Read(7)).Reason);
    }

    [Fact]
    public async Task ADamagedFileIsOneCountedSkipOrOneForEachRow()
    {
        string path = await Write("1.parquet", 2, new Caption { image = Jpeg(40, 40), caption = "a" }, new Caption { image = Jpeg(6, 4), caption = "b" }, new Caption { image = Jpeg(6, 4), caption = "c" });
        byte[] whole = await File.ReadAllBytesAsync(path, TestContext.Current.CancellationToken);
        _folder.Write("cut.parquet", whole[..(whole.Length / 2)]);
        using (var source = new ParquetSource("p", [path, _folder.File("cut.parquet")]))
        {
            Assert.Equal((3, SkipReason.CutShort), (source.Count, Assert.Single(source.Damage).Reason));
        }
        var random = new Random(3);
        for (int i = 0; i < 100; i++)
        {
            byte[] bad = [.. whole];
            for (int k = 0; k < 5; k++)
            {
                bad[random.Next(bad.Length)] = (byte)random.Next(256);
            }
            _folder.Write("bad.parquet", bad);
            try
            {
                using var source = new ParquetSource("p", [_folder.File("bad.parquet")]);
                for (int row = 0; row < Math.Min(source.Count, 10); row++)
                {
                    Assert.Null(Record.Exception(() => source.Read(row)) is { } e and not SampleException ? e : null);
                }
            }
            catch (DatasetException)
            {
            }
        }
    }

    private sealed class Other
    {
        public string? title { get; set; }

        public double[]? scores { get; set; }
    }

    private sealed class Nested
    {
        public List<List<Picture>>? images { get; set; }

        public List<List<Turn>>? conversations { get; set; }
    }

    [Fact]
    public async Task TablesWithoutWordsAreRefusedInOneLine()
    {
        string path = await Write("1.parquet", 2, new Other { title = "x", scores = [1] });
        string message = Assert.Throws<DatasetException>(() => new ParquetSource("p", [path])).Message;
        Assert.Equal($"p: holds no row that can be used ({path}: its columns are title, scores; needed is one of conversations, messages, caption, text, question).", message);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public async Task RowsOfNothingAndOfOtherShapesAreSkipsOfTheirOwn()
    {
        string[] paths =
        [
            await Write("1.parquet", 9, new Caption(), new Caption { caption = "  " }, new Caption { image = [], caption = "a" }),
            await Write("2.parquet", 9, new Chat(), new Chat { conversations = [] }, new Chat { conversations = [new(), new() { from = "gpt" }] }),
            await Write("3.parquet", 9, new Several { images = [new(), new() { bytes = Jpeg(4, 4) }], conversations = "{" }, new Several { images = [], conversations = "[3]" }),
            await Write("4.parquet", 9, new Nested { images = [[new() { bytes = Jpeg(4, 4) }]], conversations = [[new() { from = "human", value = "?" }]] }),
        ];
        using var source = new ParquetSource("p", paths);
        Assert.Equal((9, 0), (source.Count, source.Damage.Count));
        for (int i = 0; i < source.Count; i++)
        {
            // An image is read when it is needed, and no earlier.
            string message = Assert.Throws<SampleException>(() => source.Read(i).Images.Select(image => image.Read().Length > 0 ? 0 : throw new SampleException(SkipReason.BrokenImage, "empty")).Sum()).Message;
            Assert.DoesNotContain('\n', message);
        }
    }

    [Fact]
    public async Task AFooterWithoutItsEndIsRefusedAndItsFileClosed()
    {
        byte[] whole = await Bytes(new Caption { image = Jpeg(8, 8), caption = "A circle." });
        // The zero that ends the footer, before its length and PAR1: a list of eight instead, which the rest of the file continues.
        Assert.Equal(0, whole[^9]);
        whole[^9] = 0x49;
        string path = _folder.Write("1.parquet", whole);
        Assert.Contains("it ends too soon", Assert.Throws<DatasetException>(() => new ParquetSource("p", [path])).Message, StringComparison.Ordinal);
        // Nobody else holds it.
        await using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
    }

    [Fact]
    public async Task AFooterThatNestsWithoutEndDoesNotEndTheProcess()
    {
        byte[] whole = await Bytes(new Caption { image = Jpeg(8, 8), caption = "A circle." });
        // A field of its own, a list of one list of one list …
        byte[] lists = [.. whole[..^9], 0x49, .. Enumerable.Repeat((byte)0x19, 1 << 20), .. whole[^8..]];
        BitConverter.TryWriteBytes(lists.AsSpan(^8), BitConverter.ToInt32(whole.AsSpan(^8)) + (1 << 20));
        Assert.Throws<DatasetException>(() => new ParquetSource("p", [_folder.Write("1.parquet", lists)]));
    }

    /// <summary>Parquet.Net counts through elements that take no byte of the file.</summary>
    [Theory]
    [InlineData(0x49, new byte[] { 0xF1, 0xFF, 0xFF, 0xFF, 0xFF, 7 })] // a list of booleans
    [InlineData(0x49, new byte[] { 0xF3, 0xFF, 0xFF, 0xFF, 0xFF, 7 })] // of bytes
    [InlineData(0x4A, new byte[] { 0xF1, 0xFF, 0xFF, 0xFF, 0xFF, 7 })] // a set
    [InlineData(0x4B, new byte[] { 0xFF, 0xFF, 0xFF, 0xFF, 7, 0x11 })] // a map of booleans to booleans
    [InlineData(0x49, new byte[] { 0x19, 0xF1, 0xFF, 0xFF, 0xFF, 0xFF, 7 })] // a list in a list
    public async Task AListOfMoreElementsThanTheFooterHasBytesIsRefused(byte field, byte[] list)
    {
        byte[] whole = await Bytes(new Caption { image = Jpeg(8, 8), caption = "A circle." });
        byte[] lists = [.. whole[..^9], field, .. list, 0, .. whole[^8..]];
        BitConverter.TryWriteBytes(lists.AsSpan(^8), BitConverter.ToInt32(whole.AsSpan(^8)) + 1 + list.Length);
        Assert.Contains("announces 2,147,483,647 elements in", Assert.Throws<DatasetException>(() => new ParquetSource("p", [_folder.Write("1.parquet", lists)])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0x1C)] // a field that is a struct, whose first field is a struct …
    [InlineData(0x19)] // a list of one list of one list …
    public async Task AFooterThatNestsWithoutEndIsRefused(byte level)
    {
        byte[] whole = await Bytes(new Caption { image = Jpeg(8, 8), caption = "A circle." });
        byte[] deep = new byte[4_000_000];
        Array.Fill(deep, level);
        byte[] file = [.. whole[..^9], .. deep, 0, .. whole[^8..]];
        BitConverter.TryWriteBytes(file.AsSpan(^8), BitConverter.ToInt32(whole.AsSpan(^8)) + deep.Length);
        Assert.Contains("more than 64 deep", Assert.Throws<DatasetException>(() => new ParquetSource("p", [_folder.Write("1.parquet", file)])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RowsThatTheFooterDoesNotAgreeAboutAreRefused()
    {
        byte[] whole = await Bytes(new Caption { caption = "A circle." });
        // num_rows of the row group, the i64 after its total_byte_size: 1, as 2 in zigzag, becomes 63.
        int at = whole.AsSpan(0, whole.Length - 80).LastIndexOf([(byte)0x16, (byte)2]);
        whole[at + 1] = 126;
        Assert.Contains("speaks of 1 rows", Assert.Throws<DatasetException>(() => new ParquetSource("p", [_folder.Write("1.parquet", whole)])).Message, StringComparison.Ordinal);
    }
}
