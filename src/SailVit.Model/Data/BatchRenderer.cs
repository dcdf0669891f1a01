using SailVit.Model.Images;
using SailVit.Model.Language;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Data;

/// <summary>Makes the tensors of a batch: images decoded, cut and resized, tokens laid end to end.</summary>
internal sealed class BatchRenderer(ImageSplit split, LossWeighting weighting, int workers)
{
    /// <summary>Renders a batch; a sample with an image that cannot be decoded is left out. Null where none remains.</summary>
    public (PackedBatch? Batch, IReadOnlyList<Skip> Skips) Render(IReadOnlyList<EncodedSample> pack, CancellationToken cancel)
    {
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = workers, CancellationToken = cancel };
        var (samples, tiles, skips) = Decode(pack, parallel);
        return (samples.Count == 0 ? null : Build(samples, tiles, parallel), skips);
    }

    private static (List<EncodedSample> Samples, List<RgbImage> Tiles, List<Skip> Skips) Decode(IReadOnlyList<EncodedSample> pack, ParallelOptions parallel)
    {
        (int Sample, EncodedImage Image, ImageSplit Split)[] images = [.. pack.SelectMany((sample, i) => sample.Images.Select(image => (i, image.Image, image.Split)))];
        var cut = new (IReadOnlyList<RgbImage> Pieces, int Count)[images.Length];
        var broken = new Skip?[images.Length];
        Parallel.For(0, images.Length, parallel, i =>
        {
            try
            {
                cut[i] = SampleEncoder.Cut(images[i].Image, images[i].Split);
            }
            catch (SampleException e)
            {
                broken[i] = new Skip(e.Reason, e.Message);
            }
        });
        var skips = new List<Skip>();
        var tiles = new List<RgbImage>();
        var samples = new List<EncodedSample>();
        for (int s = 0, i = 0; s < pack.Count; i += pack[s++].Images.Count)
        {
            var own = Enumerable.Range(i, pack[s].Images.Count);
            // The size in a header can change until the image is read again.
            var skip = own.Select(k => broken[k]).FirstOrDefault(b => b is not null)
                ?? (own.Sum(k => cut[k].Count) == pack[s].Tiles ? null : new Skip(SkipReason.BrokenImage, $"{pack[s].Id}: an image changed while it was read."));
            if (skip is not null)
            {
                skips.Add(skip);
                continue;
            }
            samples.Add(pack[s]);
            tiles.AddRange(own.SelectMany(k => cut[k].Pieces));
        }
        return (samples, tiles, skips);
    }

    private PackedBatch Build(List<EncodedSample> samples, List<RgbImage> tiles, ParallelOptions parallel)
    {
        int length = samples.Sum(s => s.Length), at = 0, learned = 0;
        long[] ids = new long[length], labels = new long[length];
        float[] weights = new float[length];
        Array.Fill(labels, PackedBatch.Ignored);
        foreach (var sample in samples)
        {
            // Nothing predicts the first token of a sequence.
            int trained = sample.Trained.AsSpan(1).Count(true);
            float weight = Weight(trained);
            for (int i = 0; i < sample.Length; i++, at++)
            {
                ids[at] = sample.Ids[i];
                if (i > 0 && sample.Trained[i])
                {
                    labels[at] = sample.Ids[i];
                    weights[at] = weight;
                }
            }
            learned += trained;
        }
        return new PackedBatch
        {
            Ids = torch.tensor(ids, dtype: ScalarType.Int64),
            Labels = torch.tensor(labels, dtype: ScalarType.Int64),
            Weights = torch.tensor(weights, dtype: ScalarType.Float32),
            Layout = SequenceLayout.Of([.. samples.Select(s => s.Length)]),
            Pixels = tiles.Count == 0 || split is AnyResSize ? null : Pixels(tiles, parallel),
            Images = split is AnyResSize ? tiles.ConvertAll(image => Pixels([image], parallel).squeeze_(0)) : [],
            Tiles = tiles.Count,
            TrainedTokens = learned,
            SampleIds = [.. samples.Select(s => s.Id)],
        };
    }

    private float Weight(int trained) => weighting switch
    {
        LossWeighting.Token => 1,
        LossWeighting.Sample => 1f / Math.Max(trained, 1),
        _ => 1 / MathF.Sqrt(Math.Max(trained, 1)),
    };

    private static unsafe Tensor Pixels(List<RgbImage> tiles, ParallelOptions parallel)
    {
        var (height, width) = (tiles[0].Height, tiles[0].Width);
        int size = 3 * height * width;
        var pixels = torch.empty([tiles.Count, 3, height, width], ScalarType.Byte);
        fixed (byte* bytes = pixels.bytes)
        {
            nint start = (nint)bytes;
            Parallel.For(0, tiles.Count, parallel, i => tiles[i].CopyPlanes(new Span<byte>((byte*)start + ((long)i * size), size)));
        }
        return pixels;
    }
}
