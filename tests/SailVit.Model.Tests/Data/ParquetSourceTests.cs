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
}
