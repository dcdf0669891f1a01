using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Encoders;

/// <summary>Position embeddings on a grid of patches, row-major.</summary>
internal static class PositionGrid
{
    /// <summary>Fixed two-dimensional sine and cosine positions, [1, rows·columns, channels], float32.</summary>
    /// <remarks>First half of the channels: column, second half: row; each half sines, then cosines, of
    /// position / 10000^(2i / (channels/2)). Source: AIMv2 (apple/ml-aim, SinCosPosEmbed), after He et al. 2022 (MAE).</remarks>
    public static Tensor SinCos(long rows, long columns, long channels, Device? device = null)
    {
        using var scope = NewDisposeScope();
        long frequencies = channels / 4;
        using Scalar count = frequencies, width = columns, height = rows;
        var omega = tensor(10000f).pow(arange(HeldScalar.Zero, count, HeldScalar.One, float32).div(count)).reciprocal();
        var column = Encode(arange(HeldScalar.Zero, width, HeldScalar.One, float32).repeat(rows), omega);
        var row = Encode(arange(HeldScalar.Zero, height, HeldScalar.One, float32).repeat_interleave(columns), omega);
        return cat([column, row], dim: 1).unsqueeze(0).to(device ?? CPU).MoveToOuterDisposeScope();
    }

    private static Tensor Encode(Tensor position, Tensor omega)
    {
        var angle = outer(position, omega);
        return cat([angle.sin(), angle.cos()], dim: 1);
    }

    /// <summary>A learned grid resized bicubically (align_corners false, in float32) to another one, as InternViT does;
    /// leading extra slots (class token) stay as they are. Differentiable.</summary>
    /// <param name="position">[1, extra + rows·columns, C].</param>
    /// <param name="from">The grid it was learned on.</param>
    /// <param name="to">The grid wanted.</param>
    /// <param name="bilinear">Bilinearly instead.</param>
    public static Tensor Resize(Tensor position, (long Rows, long Columns) from, (long Rows, long Columns) to, bool bilinear = false)
    {
        if (from == to)
        {
            return position.alias();
        }
        using var scope = NewDisposeScope();
        long extra = position.shape[1] - from.Rows * from.Columns;
        var grid = position.narrow(1, extra, from.Rows * from.Columns).reshape(1, from.Rows, from.Columns, -1).permute(0, 3, 1, 2);
        var resized = nn.functional.interpolate(grid.to(float32), [to.Rows, to.Columns], mode: bilinear ? InterpolationMode.Bilinear : InterpolationMode.Bicubic, align_corners: false);
        var tokens = resized.flatten(2).transpose(1, 2).to(position.dtype);
        return (extra == 0 ? tokens : cat([position.narrow(1, 0, extra), tokens], dim: 1)).MoveToOuterDisposeScope();
    }
}
