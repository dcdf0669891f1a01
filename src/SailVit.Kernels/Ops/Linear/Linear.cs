using SailVit.Kernels.Ops.Linear;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>y = x·wᵀ + b.</summary>
    /// <param name="input">[…, in] on the CPU, of any strides; float32, bfloat16 or float16.</param>
    /// <param name="weight">[out, in], the input's dtype, of any strides.</param>
    /// <param name="bias">[out], the input's dtype; null for none.</param>
    /// <returns>[…, out], row-major, of the input's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>
    /// Sums are float32. The weight is packed into scratch memory on every call; pack it once with
    /// <see cref="PackedWeight"/> where it does not change. Where libtorch's product is the faster one
    /// (<see cref="Dispatch.LinearDispatch"/>), that one runs. Results do not depend on the number of threads.
    /// </remarks>
    public static Tensor linear(Tensor input, Tensor weight, Tensor? bias = null) =>
        LinearOp.Run(input, weight, bias, Activation.None, null);

    /// <summary>y = F(x·wᵀ + b) + residual, in one pass over the output.</summary>
    /// <param name="input">[…, in]; see <see cref="linear(Tensor, Tensor, Tensor?)"/>.</param>
    /// <param name="weight">[out, in], the input's dtype, of any strides.</param>
    /// <param name="bias">[out], the input's dtype; null for none.</param>
    /// <param name="activation">F.</param>
    /// <param name="residual">[…, out], the input's dtype, of any strides; null for none.</param>
    /// <returns>[…, out], row-major, of the input's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>Training keeps x·wᵀ + b where there is an activation, and computes its output again from that.</remarks>
    public static Tensor linear(Tensor input, Tensor weight, Tensor? bias, Activation activation, Tensor? residual = null) =>
        LinearOp.Run(input, weight, bias, activation, residual);

    /// <summary>y = F(x·wᵀ + b) + residual with a weight that was packed before.</summary>
    /// <param name="input">[…, in]; see <see cref="linear(Tensor, Tensor, Tensor?)"/>.</param>
    /// <param name="weight">The packed weight; no gradient reaches it.</param>
    /// <param name="bias">[out], the input's dtype; null for none.</param>
    /// <param name="activation">F.</param>
    /// <param name="residual">[…, out], the input's dtype, of any strides; null for none.</param>
    /// <returns>[…, out], row-major, of the input's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <exception cref="InvalidOperationException">The weight was modified after it was packed.</exception>
    public static Tensor linear(Tensor input, PackedWeight weight, Tensor? bias = null, Activation activation = Activation.None, Tensor? residual = null) =>
        LinearOp.Run(input, weight, bias, activation, residual);

    /// <summary>The first half of a SwiGLU network: silu(x·gᵀ + bg)·(x·uᵀ + bu), both products and the gate in one pass.</summary>
    /// <param name="input">[…, in]; see <see cref="linear(Tensor, Tensor, Tensor?)"/>.</param>
    /// <param name="gate_weight">g, [out, in], the input's dtype.</param>
    /// <param name="up_weight">u, [out, in], the input's dtype.</param>
    /// <param name="gate_bias">bg, [out]; null for none.</param>
    /// <param name="up_bias">bu, [out]; null for none.</param>
    /// <returns>[…, out], row-major, of the input's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>Training keeps both factors before the activation. Source: Shazeer 2020, arXiv 2002.05202, eq. 5.</remarks>
    public static Tensor linear_swiglu(Tensor input, Tensor gate_weight, Tensor up_weight, Tensor? gate_bias = null, Tensor? up_bias = null) =>
        LinearOp.RunSwiGlu(input, gate_weight, up_weight, gate_bias, up_bias);

    /// <summary>The same with weights that were packed before, gate and up together.</summary>
    /// <param name="input">[…, in]; see <see cref="linear(Tensor, Tensor, Tensor?)"/>.</param>
    /// <param name="weights">The packed pair; no gradient reaches it.</param>
    /// <param name="gate_bias">bg, [out]; null for none.</param>
    /// <param name="up_bias">bu, [out]; null for none.</param>
    /// <returns>[…, out], row-major, of the input's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <exception cref="InvalidOperationException">A weight was modified after it was packed.</exception>
    public static Tensor linear_swiglu(Tensor input, PackedWeight weights, Tensor? gate_bias = null, Tensor? up_bias = null) =>
        LinearOp.RunSwiGlu(input, weights, gate_bias, up_bias);
}
