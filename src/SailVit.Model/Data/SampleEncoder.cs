using SailVit.Model.Images;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>Turns a sample into tokens and its images into tiles.</summary>
/// <param name="template">How a conversation is written.</param>
/// <param name="tiling">How an image is cut; of a sample with several images each may have its part of the tiles.</param>
public sealed class SampleEncoder(ChatTemplate template, DynamicTiling tiling)
{
    // Of a sample that was cut off, as InternVL does.
    private const int MinTrainedShare = 256;

    /// <summary>How an image is cut.</summary>
    public DynamicTiling Tiling { get; } = tiling;

    /// <summary>The tokens of a sample; of its images only the headers are read.</summary>
    /// <exception cref="SampleException">It cannot be used.</exception>
    internal EncodedSample Encode(ConversationSample sample, Draw draw, PackingOptions options)
    {
        var share = Tiling with { MaxTiles = Math.Max(Tiling.MaxTiles / Math.Max(sample.Images.Count, 1), Tiling.MinTiles) };
        int[] tiles = [.. sample.Images.Select(image => Tiles(image, share))];
        if (tiles.Sum() > options.MaxTiles)
        {
            throw new SampleException(SkipReason.TooLong, $"{sample.Id}: has {tiles.Sum()} tiles; a batch holds {options.MaxTiles}.");
        }
        try
        {
            var chat = template.Encode(sample.Messages, tiles, addGenerationPrompt: false);
            var encoded = new EncodedSample(draw, sample.Id, chat.Ids, chat.Trained, [.. sample.Images.Select(image => (image, share))], tiles.Sum());
            int most = Math.Min(options.MaxTokens, options.MaxSampleTokens);
            return encoded.Length <= most ? encoded : Shorten(encoded, most, options);
        }
        catch (ArgumentException e)
        {
            throw new SampleException(SkipReason.Malformed, $"{sample.Id}: {e.Message}", e);
        }
    }

    /// <summary>The tiles of an image, cut.</summary>
    /// <exception cref="SampleException">It cannot be read or decoded.</exception>
    internal static IReadOnlyList<RgbImage> Cut(EncodedImage image, DynamicTiling tiling) => Guarded(image, content => tiling.Split(ImageDecoder.Decode(content, image.Name)));

    private static int Tiles(EncodedImage image, DynamicTiling tiling) => Guarded(image, content =>
    {
        var (width, height) = ImageDecoder.ReadSize(content, image.Name);
        return tiling.Count(width, height);
    });

    private static T Guarded<T>(EncodedImage image, Func<byte[], T> use)
    {
        try
        {
            return use(image.Read());
        }
        catch (ImageException e)
        {
            throw new SampleException(SkipReason.BrokenImage, e.Message, e);
        }
    }

    private EncodedSample Shorten(EncodedSample sample, int length, PackingOptions options)
    {
        bool throughImage = sample.Ids.AsSpan(length).Contains(template.ImageContextId);
        int trained = sample.Trained.AsSpan(0, length).Count(true);
        return options.Overflow == Overflow.Truncate && !throughImage && trained * MinTrainedShare >= length
            ? sample with { Ids = sample.Ids[..length], Trained = sample.Trained[..length] }
            : throw new SampleException(SkipReason.TooLong, $"{sample.Id}: has {sample.Length:N0} tokens; {(length == options.MaxTokens ? "a batch holds" : "the model has positions for")} {length:N0}.");
    }
}
