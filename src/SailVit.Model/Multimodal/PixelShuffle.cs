using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Multimodal;

/// <summary>Merges squares of neighbouring patches into one token of more channels.</summary>
/// <remarks>Source: InternVL's pixel_shuffle; channels of a merged patch in the order row, column, channel.</remarks>
internal static class PixelShuffle
{
    /// <summary>[B, rows · columns, C] → [B, rows · columns / merge², merge² · C].</summary>
    public static Tensor Apply(Tensor x, long rows, long columns, int merge, PixelShuffleVersion version)
    {
        using var scope = NewDisposeScope();
        long batch = x.shape[0], channels = x.shape[2];
        var split = x.reshape(batch, rows / merge, merge, columns / merge, merge, channels);
        // [B, R, m, C, m, c] → [B, R, C, m, m, c], or [B, C, R, m, m, c]
        var merged = version == PixelShuffleVersion.V2 ? split.permute(0, 1, 3, 2, 4, 5) : split.permute(0, 3, 1, 2, 4, 5);
        return merged.reshape(batch, rows * columns / (merge * merge), merge * merge * channels).MoveToOuterDisposeScope();
    }
}
