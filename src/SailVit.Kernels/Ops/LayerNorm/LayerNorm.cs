using SailVit.Kernels.Ops.Norm;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Normalises each row to mean 0 and variance 1, then scales and shifts it.</summary>
    /// <param name="input">[…, normalized_shape] on the CPU; float32, bfloat16 or float16. Rows are read by their stride;
    /// a layout that one row stride cannot reach is copied first, as by <c>contiguous()</c>.</param>
    /// <param name="normalized_shape">The last dimensions of the input: those that one row consists of.</param>
    /// <param name="weight">γ, of shape normalized_shape; the input's dtype or float32. Null: 1.</param>
    /// <param name="bias">β, of the same kind. Null: 0.</param>
    /// <param name="eps">Added to the variance, inside the root; dimensionless, not negative.</param>
    /// <returns>Row-major, of the input's shape and dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>
    /// y = (x − μ)·r·γ + β with r = 1/√(σ² + ε), in float32 until the result is stored. Training keeps μ and r (three
    /// floats per row, μ in two of them), not the normalised row. Results do not depend on the number of threads.
    /// Source: Ba, Kiros and Hinton 2016, eq. 3.
    /// </remarks>
    public static Tensor layer_norm(Tensor input, long[] normalized_shape, Tensor? weight = null, Tensor? bias = null, double eps = 1e-5) =>
        NormOp<Centered>.Run(input, normalized_shape, weight, bias, eps);

    /// <summary>Adds a block's output to the residual stream and normalises the sum, in one pass.</summary>
    /// <param name="input">The block's output; see <see cref="layer_norm"/>.</param>
    /// <param name="residual">The residual stream: the input's shape, in its own dtype (float32 beside a bfloat16 input, say).</param>
    /// <param name="normalized_shape">The last dimensions of the input: those that one row consists of.</param>
    /// <param name="weight">γ, of shape normalized_shape; the input's dtype or float32. Null: 1.</param>
    /// <param name="bias">β, of the same kind. Null: 0.</param>
    /// <param name="eps">Added to the variance, inside the root; dimensionless, not negative.</param>
    /// <returns>The norm of input + residual in the input's dtype, and that sum in the residual's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>The norm is taken of the float32 sum before it is rounded to the residual's dtype; backward uses the rounded one.</remarks>
    public static (Tensor output, Tensor residual) add_layer_norm(
        Tensor input, Tensor residual, long[] normalized_shape, Tensor? weight = null, Tensor? bias = null, double eps = 1e-5) =>
        NormOp<Centered>.RunAdd(input, residual, normalized_shape, weight, bias, eps);
}
