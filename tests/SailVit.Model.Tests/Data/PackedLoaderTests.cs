using SailVit.Model.Data;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;

namespace SailVit.Model.Tests.Data;

public sealed class PackedLoaderTests : IDisposable
{
    private static readonly PackingOptions Options = new() { MaxTokens = 400, MaxTiles = 8, BufferSize = 24, Seed = 3, Workers = 2, Prefetch = 2 };

    private readonly TempFolder _folder = new();
    private readonly List<IDisposable> _open = [];

    public void Dispose()
    {
        _open.ForEach(o => o.Dispose());
        _folder.Dispose();
    }

    private JsonlSource Source(string path)
    {
        var source = new JsonlSource(path);
        _open.Add(source);
        return source;
    }

    private static PackedLoader Loader(JsonlSource source, PackingOptions options, LoaderState? state = null) => new([new(source)], Encoder, options, state);

    [Fact]
    public void ABatchIsItsSamplesEndToEnd()
    {
        var source = Source(WriteMixed(_folder, 40));
        using var loader = Loader(source, Options with { Samples = 40 });
        var seen = new List<string>();
        while (loader.Next() is { } batch)
        {
            using var own = batch;
            long[] ids = [.. batch.Ids.data<long>()], labels = [.. batch.Labels.data<long>()], positions = [.. batch.Layout.Positions.data<long>()];
            float[] weights = [.. batch.Weights.data<float>()];
            long[] cu = batch.Layout.CuSeqlens;
            Assert.Equal(batch.Samples + 1, cu.Length);
            Assert.InRange(ids.Length, 1, 400);
            Assert.InRange(batch.Tiles, 0, 8);
            Assert.Equal(batch.Tiles * TokensPerTile, ids.Count(id => id == Template.ImageContextId));
            Assert.Equal(batch.Tiles == 0 ? null : [batch.Tiles, 3, TileSize, TileSize], batch.Pixels?.shape);
            Assert.Equal(batch.TrainedTokens, labels.Count(l => l != PackedBatch.Ignored));
            for (int s = 0; s < batch.Samples; s++)
            {
                var range = (int)cu[s]..(int)cu[s + 1];
                string text = Tokenizer.Decode(ids[range].Select(id => (int)id), skipSpecial: false);
                Assert.StartsWith("<|im_start|>system\n", text);
                Assert.Equal(Enumerable.Range(0, ids[range].Length).Select(i => (long)i), positions[range]);
                int[] learned = [.. labels[range].Where(l => l != PackedBatch.Ignored).Select(l => (int)l)];
                string answer = Tokenizer.Decode(learned, skipSpecial: false);
                Assert.StartsWith("It is", answer);
                Assert.EndsWith(".<|im_end|>", answer);
                Assert.All(labels[range].Zip(weights[range]), place => Assert.Equal(place.First == PackedBatch.Ignored ? 0 : 1 / MathF.Sqrt(learned.Length), place.Second));
                Assert.All(labels.Zip(ids).Where(place => place.First != PackedBatch.Ignored), place => Assert.Equal(place.Second, place.First));
            }
            seen.AddRange(batch.SampleIds);
        }
        Assert.Equal(40, seen.Distinct().Count());
        Assert.Equal(40, seen.Count);
        Assert.Equal((40, 0), (loader.State.Samples, loader.Skips.Total));
    }

    [Theory]
    [InlineData(LossWeighting.Token, 1f)]
    [InlineData(LossWeighting.Sample, 0.1f)]
    public void WeightsFollowTheirRule(LossWeighting weighting, float expected)
    {
        string line = """{"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "123456789"}]}""";
        using var loader = Loader(Source(_folder.Write("one.jsonl", line)), Options with { Samples = 1, Weighting = weighting });
        using var batch = loader.Next()!;
        Assert.Equal(10, batch.TrainedTokens);
        Assert.Equal(expected, batch.Weights.data<float>().Max());
    }

    [Fact]
    public void TheSeedAloneDecidesTheOrder()
    {
        var source = Source(WriteMixed(_folder, 60));
        List<string> Run(PackingOptions options)
        {
            using var loader = Loader(source, options);
            return Drain(loader, 12);
        }
        var first = Run(Options);
        Assert.Equal(first, Run(Options with { Workers = 7, Prefetch = 1 }));
        Assert.NotEqual(first, Run(Options with { Seed = 4 }));
    }

    // After any batch, through the text of the state, in mid-epoch, with samples waiting in the buffer and others broken.
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void ALoaderGoesOnExactlyWhereAnotherStopped(int lanes)
    {
        string path = WriteMixed(_folder, 50);
        File.AppendAllText(path, "{broken\n" + Line(98, 1, "missing.jpg") + "\n" + Line(99, 5000) + "\n");
        var source = Source(path);
        var options = Options with { Lanes = lanes, Samples = 130 };
        List<string> whole;
        string skips;
        using (var loader = Loader(source, options))
        {
            whole = Drain(loader);
            skips = loader.Skips.ToString();
            Assert.True(loader.Skips.Total > 3);
        }
        for (int stop = 0; stop <= whole.Count; stop++)
        {
            string state;
            using (var loader = Loader(source, options))
            {
                Assert.Equal(whole.Take(stop), Drain(loader, stop));
                state = loader.State.ToJson();
            }
            using var resumed = Loader(source, options, LoaderState.FromJson(state));
            Assert.Equal(whole.Skip(stop), Drain(resumed));
            Assert.Equal(skips, resumed.Skips.ToString());
        }
    }

    [Fact]
    public void RanksTogetherSeeWhatOneProcessSees()
    {
        var source = Source(WriteMixed(_folder, 60));
        List<string> Run(int rank, int replicas, int count)
        {
            using var loader = Loader(source, Options with { Lanes = 4, Rank = rank, Replicas = replicas });
            return Drain(loader, count);
        }
        var one = Run(0, 1, 16);
        Assert.Equal(one.Where((_, i) => i % 2 == 0), Run(0, 2, 8));
        Assert.Equal(one.Where((_, i) => i % 2 == 1), Run(1, 2, 8));
        Assert.Equal(one.Where((_, i) => i % 4 == 3), Run(3, 4, 4));
    }

    [Theory]
    [InlineData(4, 2)]
    [InlineData(2, 1)]
    [InlineData(1, 4)]
    [InlineData(4, 4)]
    public void AnotherNumberOfProcesses_GoesOnWithTheSameBatches(int before, int after)
    {
        string path = WriteMixed(_folder, 60);
        File.AppendAllText(path, "{broken\n" + Line(98, 1, "missing.jpg") + "\n");
        var source = Source(path);
        var options = Options with { Lanes = 4 };
        List<string> whole;
        using (var loader = Loader(source, options))
        {
            whole = Drain(loader, 24);
        }
        var states = Enumerable.Range(0, before).Select(rank =>
        {
            using var loader = Loader(source, options with { Rank = rank, Replicas = before });
            Drain(loader, 12 / before);
            return loader.State;
        }).ToList();
        long skipped = 0, samples = 0;
        for (int rank = 0; rank < after; rank++)
        {
            using var loader = Loader(source, options with { Rank = rank, Replicas = after }, LoaderState.Share(states, rank, after));
            skipped += loader.Skips.Total;
            samples += loader.State.Samples;
            Assert.Equal(whole.Skip(12).Where((_, i) => i % after == rank), Drain(loader, 12 / after));
        }
        Assert.Equal(states.Sum(s => s.Skipped.Values.Sum(one => one.Count)), skipped);
        Assert.Equal(states.Sum(s => s.Samples), samples);
        Assert.True(skipped > 0);
    }

    [Fact]
    public void NinetyFivePercentOfTheBudgetAreFilled()
    {
        var source = Source(WriteMixed(_folder, 2000));
        using var loader = Loader(source, Options with { MaxTokens = 1024, MaxTiles = 32, BufferSize = 64 });
        double filled = Enumerable.Range(0, 100).Average(_ =>
        {
            using var batch = loader.Next()!;
            return batch.Ids.shape[0] / 1024.0;
        });
        Assert.True(filled >= 0.95, $"only {filled:P1} of the token budget are filled");
    }

    [Fact]
    public void UnusableSamplesAreCountedByReason()
    {
        string path = WriteMixed(_folder, 12);
        _folder.Write("broken.jpg", Jpeg(40, 30)[..200]);
        _folder.Write("cut.jpg", Noise()[..^3000]);
        File.AppendAllText(path, string.Join('\n', "{", Line(90, 1, "none.jpg"), Line(91, 1, "broken.jpg"), Line(92, 1, "cut.jpg"), Line(93, 2000), """{"conversations": [{"from": "human", "value": "x"}]}""", """{"image": ["a.jpg", "b.jpg"], "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}]}"""));
        using var loader = Loader(Source(path), Options with { Samples = 19 });
        Drain(loader);
        Assert.Equal(12, loader.State.Samples);
        Assert.Equal(new Dictionary<SkipReason, long> { [SkipReason.Malformed] = 1, [SkipReason.NoAnswer] = 1, [SkipReason.ImageCount] = 1, [SkipReason.MissingImage] = 1, [SkipReason.BrokenImage] = 2, [SkipReason.TooLong] = 1 }, loader.Skips.Reasons.ToDictionary(r => r.Key, r => r.Value.Count));
        Assert.Contains("none.jpg", Assert.Single(loader.Skips.Reasons[SkipReason.MissingImage].First));
        Assert.Contains("MissingImage: 1 skipped", loader.Skips.ToString());

        static byte[] Noise()
        {
            using var bitmap = new SkiaSharp.SKBitmap(80, 60);
            var random = new Random(1);
            for (int i = 0; i < 80 * 60; i++)
            {
                bitmap.SetPixel(i % 80, i / 80, new SkiaSharp.SKColor((uint)random.Next() | 0xFF000000));
            }
            using var data = bitmap.Encode(SkiaSharp.SKEncodedImageFormat.Jpeg, 95);
            return data.ToArray();
        }
    }

    [Fact]
    public void ASampleBeyondTheModelsPositionsIsTooLongThoughTheBatchWouldHoldIt()
    {
        string path = _folder.Write("long.jsonl", string.Join('\n', Line(1, 100, null), Line(2, 1, null)));
        using var loader = Loader(Source(path), Options with { Samples = 2, MaxTokens = 4096, MaxSampleTokens = 64 });
        Drain(loader);
        Assert.Equal(1, loader.State.Samples);
        Assert.Contains("the model has positions for 64", Assert.Single(loader.Skips.Reasons[SkipReason.TooLong].First), StringComparison.Ordinal);
    }

    [Fact]
    public void WhatASkippedSampleIsCalledIsOneShortLine()
    {
        string path = _folder.Write("evil.jsonl", $$"""{"id": "a\n\u001b[2J{{new string('x', 5000)}}", "conversations": []}""" + "\n" + Line(2, 1, null));
        using var loader = Loader(Source(path), Options with { Samples = 2 });
        Drain(loader);
        string line = Assert.Single(loader.Skips.Reasons[SkipReason.NoAnswer].First);
        Assert.DoesNotContain(line, char.IsControl);
        Assert.InRange(line.Length, 1, 501);
    }

    [Fact]
    public void ALongSampleIsCutButNeverInsideAnImage()
    {
        _folder.Write("a.jpg", Jpeg(30, 30));
        string late = """{"image": "a.jpg", "conversations": [{"from": "human", "value": "LONG"}, {"from": "gpt", "value": "x"}, {"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}]}""".Replace("LONG", string.Concat(Enumerable.Repeat(" 12345", 80)));
        string path = _folder.Write("long.jsonl", string.Join('\n', Line(1, 3000), late, Line(2, 1)));
        using var loader = Loader(Source(path), Options with { Samples = 3, Overflow = Overflow.Truncate, BufferSize = 1 });
        var batches = Drain(loader);
        Assert.Equal(2, loader.State.Samples);
        Assert.Equal(1, loader.Skips.Reasons[SkipReason.TooLong].Count);
        Assert.Contains(batches, batch => batch.Contains("0,400 "));
    }

    [Fact]
    public void DataOfWhichNothingCanBeUsedEndsWithAnError()
    {
        using var loader = Loader(Source(_folder.Write("bad.jsonl", string.Join('\n', Enumerable.Repeat("{", 50)))), Options);
        Assert.Contains("none of 50 samples", Assert.Throws<DatasetException>(() => loader.Next()).Message);
        Assert.Throws<DatasetException>(() => loader.Next());
    }

    [Fact]
    public void AStateOfOtherDataIsRefused()
    {
        var source = Source(WriteMixed(_folder, 10));
        using var loader = Loader(source, Options);
        loader.Next()!.Dispose();
        var state = loader.State;
        Assert.Contains("other data", Assert.Throws<DatasetException>(() => Loader(source, Options with { Seed = 9 }, state)).Message);
        Assert.Contains("damaged", Assert.Throws<DatasetException>(() => Loader(source, Options, state with { Lanes = [] })).Message);
        Assert.Contains("no valid JSON", Assert.Throws<DatasetException>(() => LoaderState.FromJson("{")).Message);
        Assert.Contains("incomplete", Assert.Throws<DatasetException>(() => LoaderState.FromJson("{}")).Message);
    }

    [Fact]
    public void CancellingAWaitLosesNothing()
    {
        var source = Source(WriteMixed(_folder, 30));
        using var loader = Loader(source, Options with { Samples = 30 });
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => loader.Next(cancelled.Token));
        using var other = Loader(source, Options with { Samples = 30 });
        Assert.Equal(Drain(other), Drain(loader));
    }

    [Fact]
    public void ALoaderThatIsDroppedEarlyStops()
    {
        var source = Source(WriteMixed(_folder, 30));
        for (int i = 0; i < 20; i++)
        {
            var loader = Loader(source, Options);
            if (i % 2 == 0)
            {
                loader.Next()!.Dispose();
            }
            loader.Dispose();
            loader.Dispose();
            Assert.Throws<ObjectDisposedException>(() => loader.Next());
        }
    }
}
