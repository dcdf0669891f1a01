using SailVit.Kernels.Interop;
using SailVit.Kernels.Modules;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Encoders;

/// <summary>How the tokens of an image of any size know their place.</summary>
public enum PositionMode
{
    /// <summary>The learned grid resized bicubically to the image's: what the SAIL-VL2 report's text says.</summary>
    Bicubic,

    /// <summary>The learned grid resized bilinearly.</summary>
    Bilinear,

    /// <summary>Queries and keys turned by row and column, scaled to the learned grid; nothing is added. What the report's figure
    /// says; a checkpoint must have been trained so.</summary>
    AxialRotary,
}

/// <summary>What an encoder gives for images of different sizes.</summary>
/// <param name="Output">Hidden states of all images behind each other, [1, T, C].</param>
/// <param name="CuSeqlens">Where each image's tokens begin, and the end of the last.</param>
/// <param name="Grids">Rows and columns of patches of each image.</param>
public sealed record PackedEncoderOutput(EncoderOutput Output, long[] CuSeqlens, IReadOnlyList<(long Rows, long Columns)> Grids) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose() => Output.Dispose();
}

public sealed partial class VisionTransformer
{
    /// <summary>Most patches of one image: 1792 × 1792 px in patches of 14.</summary>
    public const int MaxPatches = 16_384;

    // Of row and column angles; as Qwen2.5-VL's and Llama's.
    private const double AxialTheta = 10_000;

    /// <summary>Encodes images at their own sizes, in one pass and without padding.</summary>
    /// <param name="images">Each [3, H, W]: uint8, or normalised floats of the model's dtype; sides are multiples of the patch.</param>
    /// <param name="mode">How tokens know their place.</param>
    /// <param name="hidden">As in <see cref="Encode"/>.</param>
    /// <exception cref="ArgumentException">There is no image, or one does not fit.</exception>
    public PackedEncoderOutput EncodePacked(IReadOnlyList<Tensor> images, PositionMode mode = PositionMode.Bicubic, IEnumerable<int>? hidden = null) =>
        Packed(images, mode, (x, pack) => RunBlocks(x, hidden, pack));

    /// <summary>Encodes images at their own sizes up to one hidden state; the blocks behind it are not run.</summary>
    /// <param name="images">As in <see cref="EncodePacked"/>.</param>
    /// <param name="index">As in <see cref="Encode"/>.</param>
    /// <param name="mode">How tokens know their place.</param>
    /// <returns>With that hidden state as the last.</returns>
    /// <exception cref="ArgumentException">There is no image, or one does not fit, or there is no such state.</exception>
    public PackedEncoderOutput EncodePackedUpTo(IReadOnlyList<Tensor> images, int index, PositionMode mode = PositionMode.Bicubic)
    {
        int blocks = BlocksFor(index);
        return Packed(images, mode, (x, pack) => new(RunFirst(blocks, x, pack), new Dictionary<int, Tensor>()));
    }

    private PackedEncoderOutput Packed(IReadOnlyList<Tensor> images, PositionMode mode, Func<Tensor, TokenPack, EncoderOutput> run)
    {
        ArgumentNullException.ThrowIfNull(images);
        if (images.Count == 0)
        {
            throw new ArgumentException("there is no image; at least one is needed.", nameof(images));
        }
        if (mode == PositionMode.AxialRotary && Config.HeadDim % 4 != 0)
        {
            throw new ArgumentException($"axial rotary positions need a head dimension that is a multiple of 4; it is {Config.HeadDim}.", nameof(mode));
        }
        using var scope = NewDisposeScope();
        var batches = images.Select(image => image.unsqueeze(0)).ToList();
        var grids = batches.ConvertAll(image => PixelGrid.Of(image, Config));
        if (grids.FindIndex(g => g.Rows * g.Columns > MaxPatches) is >= 0 and var large)
        {
            throw new ArgumentException($"image {large} has {grids[large].Rows} × {grids[large].Columns} patches; at most {MaxPatches:N0} are taken. Resize it.", nameof(images));
        }
        var embedding = (IPatchEmbedding)_embeddings;
        var tokens = batches.ConvertAll(image => embedding.Embed(image, mode));
        long[] cuSeqlens = new long[tokens.Count + 1];
        for (int i = 0; i < tokens.Count; i++)
        {
            cuSeqlens[i + 1] = cuSeqlens[i] + tokens[i].shape[1];
        }
        var pack = new TokenPack(tensor(cuSeqlens));
        if (mode == PositionMode.AxialRotary)
        {
            using Scalar length = cuSeqlens[^1];
            var angles = cat(grids.ConvertAll(AxialAngles), 0);
            pack = pack with { Cos = angles.cos().to(float32), Sin = angles.sin().to(float32), Positions = arange(HeldScalar.Zero, length, HeldScalar.One, dtype: int64) };
        }
        if (GradientCheckpointing && training)
        {
            // A checkpointed block runs again in backward, when this scope is gone.
            pack.CuSeqlens.DetachFromDisposeScope();
            pack.Cos?.DetachFromDisposeScope();
            pack.Sin?.DetachFromDisposeScope();
            pack.Positions?.DetachFromDisposeScope();
        }
        var output = run(cat(tokens, 1), pack);
        return new(new(output.Last.MoveToOuterDisposeScope(), output.Hidden.ToDictionary(h => h.Key, h => h.Value.MoveToOuterDisposeScope())), cuSeqlens, grids);
    }

    /// <summary>[N, D/2]: angles by row in the first half, by column in the second; a class token is not turned.</summary>
    private Tensor AxialAngles((long Rows, long Columns) grid)
    {
        long pairs = Config.HeadDim / 4;
        using Scalar count = pairs, exponent = -pairs;
        var frequencies = tensor(AxialTheta, float64).pow(arange(HeldScalar.Zero, count, HeldScalar.One, dtype: float64).div(exponent));
        // The image spans the grid that the encoder was made for, however many patches it has.
        static Tensor Places(long patches, int learned)
        {
            using Scalar end = patches, half = 0.5, spacing = (double)learned / patches;
            return arange(HeldScalar.Zero, end, HeldScalar.One, dtype: float64).add(half, HeldScalar.One).mul(spacing).sub(half);
        }
        var rows = outer(Places(grid.Rows, Config.GridHeight), frequencies).repeat_interleave(grid.Columns, 0);
        var columns = outer(Places(grid.Columns, Config.GridWidth), frequencies).repeat(grid.Rows, 1);
        var angles = cat([rows, columns], 1);
        return Config.ClassToken ? cat([zeros(1, angles.shape[1], dtype: float64), angles], 0) : angles;
    }
}
