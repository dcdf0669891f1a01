using SailVit.Model.Language;
using static TorchSharp.torch;

namespace SailVit.Model.Data;

/// <summary>Samples laid end to end, ready for a training step; it owns its tensors.</summary>
public sealed class PackedBatch : IDisposable
{
    /// <summary>In <see cref="Labels"/>: not to be learned.</summary>
    public const long Ignored = -100;

    /// <summary>Token ids, int64 [T]; the places of images hold the image-context token's id.</summary>
    public required Tensor Ids { get; init; }

    /// <summary>
    /// int64 [T], not shifted: the id where the token is to be learned, else −100. A model predicts place t from place t − 1
    /// of the same sequence; the first token of a sequence is never a label.
    /// </summary>
    public required Tensor Labels { get; init; }

    /// <summary>Loss weight of each label, float32 [T]; 0 where there is none.</summary>
    public required Tensor Weights { get; init; }

    /// <summary>Where the samples begin, and the positions of their tokens.</summary>
    public required SequenceLayout Layout { get; init; }

    /// <summary>Tiles of all images, uint8 [tiles, 3, H, W], in the order of their places in <see cref="Ids"/>; null without images.</summary>
    public Tensor? Pixels { get; init; }

    /// <summary>Instead of tiles: images at their own size, each uint8 [3, H, W], in the order of their places.</summary>
    public IReadOnlyList<Tensor> Images { get; init; } = [];

    /// <summary>Samples laid end to end.</summary>
    public int Samples => SampleIds.Count;

    /// <summary>Rows of <see cref="Pixels"/>, or the number of <see cref="Images"/>.</summary>
    public int Tiles { get; init; }

    /// <summary>Labels to be learned.</summary>
    public required int TrainedTokens { get; init; }

    /// <summary>Where each sample came from, for the report of a bad batch.</summary>
    public required IReadOnlyList<string> SampleIds { get; init; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Ids.Dispose();
        Labels.Dispose();
        Weights.Dispose();
        Layout.Positions.Dispose();
        Pixels?.Dispose();
        foreach (var image in Images)
        {
            image.Dispose();
        }
    }
}
