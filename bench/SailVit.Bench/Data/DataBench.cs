using System.Diagnostics;
using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Text;
using SkiaSharp;

namespace SailVit.Bench.Data;

/// <summary>How fast training data is made: JPEG files and a JSONL file to batches of tiles and tokens.</summary>
public static class DataBench
{
    private const int TileSize = 448, Images = 48;

    /// <summary>One way of cutting images of one size.</summary>
    /// <param name="Width">Of the JPEG files, px.</param>
    /// <param name="Height">Of the JPEG files, px.</param>
    /// <param name="MaxTiles">Most tiles of 448 px; with a thumbnail when there are several.</param>
    /// <param name="ImagesPerSecond">Median over the runs.</param>
    /// <param name="TilesPerSecond">Median over the runs.</param>
    public sealed record Row(int Width, int Height, int MaxTiles, double ImagesPerSecond, double TilesPerSecond);

    /// <summary>Measures.</summary>
    /// <param name="photographs">Files from which the JPEG files are made.</param>
    /// <param name="workers">Threads.</param>
    /// <param name="runs">Batches of 48 images that are timed, after four that are not.</param>
    /// <param name="cancel">Ends behind the row that is being measured.</param>
    public static IEnumerable<Row> Run(IReadOnlyList<string> photographs, int workers, int runs, CancellationToken cancel = default)
    {
        foreach (var (width, height, maxTiles) in new[] { (448, 448, 1), (640, 480, 1), (1280, 960, 1), (640, 480, 6), (1280, 960, 6), (1280, 960, 12) })
        {
            yield return Measure(photographs, width, height, maxTiles, workers, runs);
            if (cancel.IsCancellationRequested)
            {
                yield break;
            }
        }
    }

    private static Row Measure(IReadOnlyList<string> photographs, int width, int height, int maxTiles, int workers, int runs)
    {
        var folder = Directory.CreateTempSubdirectory("sailvit-bench-");
        try
        {
            Write(folder.FullName, photographs, width, height);
            TokenizerTrainer.Train(["What is it? A photograph."], 300, [ChatTemplate.TurnEnd, ChatTemplate.TurnStart, ChatTemplate.ImageStart, ChatTemplate.ImageEnd, ChatTemplate.ImageContext], folder.FullName);
            using var source = new JsonlSource(Path.Combine(folder.FullName, "data.jsonl"));
            var encoder = new SampleEncoder(new ChatTemplate(Tokenizers.Load(folder.FullName), 256), new DynamicTiling(1, maxTiles, TileSize, Thumbnail: true));
            using var loader = new PackedLoader([new(source)], encoder, new PackingOptions { MaxTokens = 16_384, MaxTiles = 48, Workers = workers, Prefetch = 1 });
            // What was made ahead must not count.
            Take(loader, 4 * Images);
            var seconds = new List<double>();
            int tiles = 0;
            for (int i = 0; i < runs; i++)
            {
                var clock = Stopwatch.StartNew();
                tiles = Take(loader, Images);
                seconds.Add(clock.Elapsed.TotalSeconds);
            }
            seconds.Sort();
            double median = seconds[seconds.Count / 2];
            return new Row(width, height, maxTiles, Images / median, tiles / median);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static int Take(PackedLoader loader, int images)
    {
        int tiles = 0;
        for (int seen = 0; seen < images;)
        {
            using var batch = loader.Next()!;
            (seen, tiles) = (seen + batch.Samples, tiles + batch.Tiles);
        }
        return tiles;
    }

    private static void Write(string folder, IReadOnlyList<string> photographs, int width, int height)
    {
        foreach (var (path, i) in photographs.Select((path, i) => (path, i)))
        {
            using var photograph = SKBitmap.Decode(path);
            using var resized = photograph.Resize(new SKImageInfo(width, height), new SKSamplingOptions(SKCubicResampler.Mitchell));
            using var data = resized.Encode(SKEncodedImageFormat.Jpeg, 90);
            File.WriteAllBytes(Path.Combine(folder, $"{i}.jpg"), data.ToArray());
        }
        File.WriteAllLines(Path.Combine(folder, "data.jsonl"), Enumerable.Range(0, Images).Select(i =>
            $$"""{"id": {{i}}, "image": "{{i % photographs.Count}}.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A photograph."}]}"""));
    }
}
