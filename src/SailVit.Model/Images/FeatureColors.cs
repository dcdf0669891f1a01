using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Images;

/// <summary>Shows patch features as colours: their first three principal components, as in the DINOv2 report (arXiv 2304.07193).</summary>
public static class FeatureColors
{
    /// <summary>Projects the tokens of all images together onto their three main directions.</summary>
    /// <param name="tokens">One [N, C] per image, patches only; N may differ.</param>
    /// <returns>One [N, 3] uint8 per image. Each component runs from its 2nd to its 98th percentile over all images.</returns>
    /// <exception cref="ArgumentException">No tokens, or not [N, C].</exception>
    public static IReadOnlyList<Tensor> Compute(IReadOnlyList<Tensor> tokens)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        if (tokens.Count == 0 || tokens.Any(t => t.dim() != 2 || t.shape[1] != tokens[0].shape[1] || t.shape[1] < 3))
        {
            throw new ArgumentException("tokens must be a non-empty list of [N, C] with one C of at least 3.", nameof(tokens));
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var all = cat([.. tokens.Select(t => t.detach().to(float32).cpu())], dim: 0);
        var centred = all - all.mean([0], keepdim: true);
        var (_, vectors) = linalg.eigh(centred.transpose(0, 1).matmul(centred));
        // Eigenvalues ascend; a vector's sign is arbitrary: let its largest entry be positive.
        var axes = vectors.narrow(1, vectors.shape[1] - 3, 3).flip(1);
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim: true)).sign();
        var projected = centred.matmul(axes);
        var sorted = projected.sort(0).Values;
        var low = sorted[(long)(0.02 * (sorted.shape[0] - 1))];
        var high = sorted[(long)(0.98 * (sorted.shape[0] - 1))];
        using Scalar least = 1e-12, black = 0, white = 255;
        var colors = ((projected - low) / (high - low).clamp_min(least)).mul(white).clamp(black, white).round().to(uint8);
        return [.. colors.split([.. tokens.Select(t => t.shape[0])], 0).Select(c => c.contiguous().MoveToOuterDisposeScope())];
    }
}
