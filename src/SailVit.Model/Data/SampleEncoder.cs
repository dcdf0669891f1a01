using SailVit.Model.Images;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>Turns a sample into tokens and its images into what the encoder takes.</summary>
/// <param name="template">How a conversation is written.</param>
/// <param name="split">How an image is cut; of a sample with several images each has its part.</param>
public sealed class SampleEncoder(ChatTemplate template, ImageSplit split)
{
    // Of a sample that was cut off, as InternVL does.
    private const int MinTrainedShare = 256;

    /// <summary>How an image is cut.</summary>
    public ImageSplit Split { get; } = split;

    /// <summary>The tokens of a sample; of its images only the headers are read.</summary>
    /// <exception cref="SampleException">It cannot be used.</exception>
    internal EncodedSample Encode(ConversationSample sample, Draw draw, PackingOptions options)
    {
        var share = Split.Share(sample.Images.Count);
        int[] tiles = [.. sample.Images.Select(image => Count(image, share))];
        if (tiles.Sum() > options.MaxTiles)
        {
            throw new SampleException(SkipReason.TooLong, $"{sample.Id}: has {share.Show(tiles.Sum())}; a batch holds {options.MaxTiles:N0}.");
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

    /// <summary>The pieces of an image, and what they count.</summary>
    /// <exception cref="SampleException">It cannot be read or decoded.</exception>
    internal static (IReadOnlyList<RgbImage> Pieces, int Count) Cut(EncodedImage image, ImageSplit split) => Guarded(image, content =>
    {
        var whole = ImageDecoder.Decode(content, image.Name);
        return (split.Split(whole), split.Count(whole.Width, whole.Height));
    });

    private static int Count(EncodedImage image, ImageSplit split) => Guarded(image, content =>
    {
        var (width, height) = ImageDecoder.ReadSize(content, image.Name);
        return split.Count(width, height);
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
