using SailVit.Kernels.Ops.PatchEmbed;
using static TorchSharp.torch;

namespace SailVit.Kernels;

/// <summary>Norm between the patch projection and the position embedding.</summary>
public enum PatchNorm
{
    /// <summary>None (ViT, InternViT).</summary>
    None,

    /// <summary>RMSNorm (AIMv2, SAILViT).</summary>
    RmsNorm,

    /// <summary>LayerNorm.</summary>
    LayerNorm,
}

public static partial class functional
{
    /// <summary>Cuts images into patches and makes a token of each: projection, bias, norm, position, class token.</summary>
    /// <param name="pixels">[B, channels, H, W] on the CPU, any strides; float32, bfloat16, float16, or uint8. H and W are
    /// multiples of the patch.</param>
    /// <param name="weight">[C, channels, P, P] as of a convolution with stride P; float32, bfloat16 or float16: the dtype of the
    /// tokens. Made row-major first if it is not.</param>
    /// <param name="bias">[C]; the weight's dtype or float32. Null: 0.</param>
    /// <param name="norm_weight">γ of the norm, [C]; the weight's dtype or float32. Null: 1.</param>
    /// <param name="norm_bias">β of LayerNorm, [C]. Null: 0.</param>
    /// <param name="norm">Norm over the C channels of each token, before the position is added.</param>
    /// <param name="eps">Of the norm.</param>
    /// <param name="position">[N, C] or [1, N, C] in the weight's dtype, with the class slot if there is a class token. Null: 0.</param>
    /// <param name="cls_token">C values in the weight's dtype, such as [1, 1, C]: the first token of each image, not normalised.</param>
    /// <param name="mean">Per channel, subtracted from pixels; of uint8 pixels after division by 255. Null: 0.</param>
    /// <param name="std">Per channel, divides what is left. Null: 1.</param>
    /// <returns>[B, (1 +) H/P · W/P, C], patches in rows from the top left.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>
    /// One matrix product whose left side is gathered from the pixels block by block: there is no unfolded copy of the image,
    /// and uint8 pixels are never converted as a whole. float32 sums. Without a norm everything happens in the product's
    /// epilogue; with one, the projection is stored once in the weight's dtype. The pixels' gradient is computed only if they
    /// require it. Where libtorch's product is the faster one (<see cref="Dispatch.LinearDispatch"/>, by the weight's dtype), patches
    /// are gathered into a matrix for it, forward and for the weight's gradient. Results do not depend on the number of threads.
    /// </remarks>
    public static Tensor patch_embed(
        Tensor pixels, Tensor weight, Tensor? bias = null, Tensor? norm_weight = null, Tensor? norm_bias = null,
        PatchNorm norm = PatchNorm.None, double eps = 1e-5, Tensor? position = null, Tensor? cls_token = null,
        float[]? mean = null, float[]? std = null)
    {
        var options = PatchEmbedCheck.Arguments(pixels, weight, bias, norm_weight, norm_bias, norm, eps, position, cls_token, mean, std);
        return PatchEmbedFunction.Apply(options, pixels, weight, bias, norm_weight, norm_bias, position, cls_token);
    }
}
