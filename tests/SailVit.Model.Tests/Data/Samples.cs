using System.Formats.Tar;
using System.Text;
using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Text;
using SkiaSharp;

namespace SailVit.Model.Tests.Data;

/// <summary>Small data sets for tests.</summary>
internal static class Samples
{
    public const int TileSize = 28, TokensPerTile = 4;

    public static readonly ITextTokenizer Tokenizer = Tokenizers.Load(Path.Combine(TestData.Root, "tokenizer"));

    public static readonly ChatTemplate Template = new(Tokenizer, TokensPerTile);

    public static readonly SampleEncoder Encoder = new(Template, new DynamicTiling(1, 4, TileSize, Thumbnail: true));

    public static byte[] Jpeg(int width, int height, byte grey = 128)
    {
        using var bitmap = new SKBitmap(width, height);
        bitmap.Erase(new SKColor(grey, (byte)(255 - grey), 60));
        using var data = bitmap.Encode(SKEncodedImageFormat.Jpeg, 90);
        return data.ToArray();
    }

    /// <summary>A line with one image and an answer of so many words.</summary>
    public static string Line(int id, int words, string? image = "a.jpg") =>
        $$"""{"id": {{id}}, {{(image is null ? "" : $"\"image\": \"{image}\", ")}}"conversations": [{"from": "human", "value": "{{(image is null ? "" : "<image>\\n")}}What is {{id}}?"}, {"from": "gpt", "value": "It is{{string.Concat(Enumerable.Repeat(" red", words))}} {{id}}."}]}""";

    /// <summary>A file of so many lines of mixed length, three of four with an image, and two images.</summary>
    public static string WriteMixed(TempFolder folder, int count, string name = "data.jsonl")
    {
        folder.Write("a.jpg", Jpeg(40, 30));
        folder.Write("b.jpg", Jpeg(90, 30, 20));
        var random = new Random(7);
        return folder.Write(name, string.Join('\n', Enumerable.Range(0, count).Select(i => Line(i, 1 + (int)(60 * Math.Pow(random.NextDouble(), 3)), i % 4 == 0 ? null : i % 2 == 0 ? "a.jpg" : "b.jpg"))) + "\n");
    }

    public static byte[] Tar(params (string Name, byte[] Content)[] files)
    {
        using var stream = new MemoryStream();
        using (var writer = new TarWriter(stream, TarEntryFormat.Pax, leaveOpen: true))
        {
            foreach (var (name, content) in files)
            {
                writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(content) });
            }
        }
        return stream.ToArray();
    }

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>Batches until the end, as text for comparison; they are disposed.</summary>
    public static List<string> Drain(PackedLoader loader, int most = int.MaxValue)
    {
        var batches = new List<string>();
        while (batches.Count < most && loader.Next() is { } batch)
        {
            using (batch)
            {
                batches.Add(Show(batch));
            }
        }
        return batches;
    }

    public static string Show(PackedBatch batch) => string.Join(' ',
        string.Join(',', batch.Ids.data<long>()), string.Join(',', batch.Labels.data<long>()), string.Join(',', batch.Weights.data<float>()),
        string.Join(',', batch.Layout.CuSeqlens), string.Join('|', batch.SampleIds),
        batch.Pixels is { } pixels ? $"{pixels.shape[0]} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(pixels.bytes))}" : "none",
        string.Join(' ', batch.Images.Select(image => $"{image.shape[1]} {image.shape[2]} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(image.bytes))}")));
}
