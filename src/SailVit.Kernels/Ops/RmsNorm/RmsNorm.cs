using SailVit.Kernels.Ops.Norm;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Scales each row to root mean square 1, then channel by channel.</summary>
    /// <param name="input">[…, normalized_shape] on the CPU; float32, bfloat16 or float16. Rows are read by their stride;
    /// a layout that one row stride cannot reach is copied first, as by <c>contiguous()</c>.</param>
    /// <param name="normalized_shape">The last dimensions of the input: those that one row consists of.</param>
    /// <param name="weight">γ, of shape normalized_shape; the input's dtype or float32. Null: 1.</param>
    /// <param name="eps">Added to the mean square, inside the root; not negative. Null: the spacing of the input's dtype
    /// at 1, <c>torch.finfo(dtype).eps</c>.</param>
    /// <returns>Row-major, of the input's shape and dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>
    /// y = x·r·γ with r = 1/√(mean(x²) + ε), in float32 until the result is stored, as torch.nn.RMSNorm does. (Many
    /// Hugging Face models round x·r to the input's dtype before they multiply by γ; in bfloat16 the two differ by about
    /// one rounding.) Training keeps r, one float per row. Results do not depend on the number of threads.
    /// Source: Zhang and Sennrich 2019, eq. 4.
    /// </remarks>
    public static Tensor rms_norm(Tensor input, long[] normalized_shape, Tensor? weight = null, double? eps = null) =>
        NormOp<RootMeanSquare>.Run(input, normalized_shape, weight, null, eps);

    /// <summary>Adds a block's output to the residual stream and normalises the sum, in one pass.</summary>
    /// <param name="input">The block's output; see <see cref="rms_norm"/>.</param>
    /// <param name="residual">The residual stream: the input's shape, in its own dtype (float32 beside a bfloat16 input, say).</param>
    /// <param name="normalized_shape">The last dimensions of the input: those that one row consists of.</param>
    /// <param name="weight">γ, of shape normalized_shape; the input's dtype or float32. Null: 1.</param>
    /// <param name="eps">Added to the mean square, inside the root; not negative. Null: <c>torch.finfo(dtype).eps</c>.</param>
    /// <returns>The norm of input + residual in the input's dtype, and that sum in the residual's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>The norm is taken of the float32 sum before it is rounded to the residual's dtype; backward uses the rounded one.</remarks>
    public static (Tensor output, Tensor residual) add_rms_norm(
        Tensor input, Tensor residual, long[] normalized_shape, Tensor? weight = null, double? eps = null) =>
        NormOp<RootMeanSquare>.RunAdd(input, residual, normalized_shape, weight, null, eps);
}
