using SailVit.Model.Encoders;
using SailVit.Model.Images;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Multimodal;

public sealed partial class MultimodalModel
{
    /// <summary>Encodes images at their own aspect ratio and size, in one pass and without padding.</summary>
    /// <param name="images">Each [3, H, W], uint8 or normalised floats, of the size that <see cref="AnyResFit"/> says.</param>
    /// <param name="mode">How tokens know their place; by default as the configuration says, or else <see cref="PositionMode.Bicubic"/>.</param>
    /// <returns>[Σ tokens of the images, C of the language model], in order.</returns>
    public Tensor EncodeImages(IReadOnlyList<Tensor> images, PositionMode? mode = null)
    {
        ArgumentNullException.ThrowIfNull(images);
        int edge = Config.Merge * Config.Vision.PatchSize;
        foreach (var image in images)
        {
            if (image.dim() != 3 || image.shape[1] % edge != 0 || image.shape[2] % edge != 0)
            {
                throw new ArgumentException($"an image has shape [{string.Join(", ", image.shape)}]; it must be [3, H, W] with sides of multiples of {edge} px, the edge of a merged patch.", nameof(images));
            }
        }
        using var scope = NewDisposeScope();
        var positions = mode ?? Config.AnyRes ?? PositionMode.Bicubic;
        var output = Config.SelectLayer == -1 ? Vision.EncodePacked(images, positions) : Vision.EncodePackedUpTo(images, Config.SelectLayer, positions);
        int extra = Config.Vision.ClassToken ? 1 : 0;
        var merged = output.Grids.Select((grid, i) =>
        {
            var patches = output.Output.Last.narrow(1, output.CuSeqlens[i] + extra, grid.Rows * grid.Columns);
            return PixelShuffle.Apply(patches, grid.Rows, grid.Columns, Config.Merge, Config.PixelShuffleVersion);
        });
        return Connector.call(cat(merged.ToList(), 1)).flatten(0, 1).MoveToOuterDisposeScope();
    }

    /// <summary>The size at which an image is encoded near its own, and the places that it takes in the text.</summary>
    /// <param name="width">Of the image, pixels.</param>
    /// <param name="height">Of the image, pixels.</param>
    public (int Height, int Width, int Tokens) AnyResFit(int width, int height)
    {
        int patch = Config.Vision.PatchSize, edge = Config.Merge * patch;
        var (h, w) = AnyResSize.Fit(width, height, edge, (long)VisionTransformer.MaxPatches * patch * patch);
        return (h, w, h / edge * (w / edge));
    }
}
