using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Ops.Gelu;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Gaussian error linear unit, x·Φ(x), by the error function.</summary>
    /// <param name="x">Any shape on the CPU; float32, bfloat16 or float16. A layout that one row stride cannot reach is copied first.</param>
    /// <param name="inplace">Overwrite x. Where a graph is recorded, a copy of x is kept for backward.</param>
    /// <returns>Of x's shape and dtype; x itself (another handle) if in place.</returns>
    /// <remarks>One pass each way; float32 arithmetic; Φ to 1 ulp. Source: Hendrycks and Gimpel 2016.</remarks>
    public static Tensor gelu(Tensor x, bool inplace = false) => ActivationFunction<GeluErf, GeluErfPortable>.Apply(x, inplace);

    /// <summary>Gaussian error linear unit, exact or by the tanh formula.</summary>
    /// <param name="x">See <see cref="gelu(Tensor, bool)"/>.</param>
    /// <param name="approximate"><c>tanh</c>: ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).</param>
    /// <param name="inplace">Overwrite x. Where a graph is recorded, a copy of x is kept for backward.</param>
    /// <returns>Of x's shape and dtype; x itself (another handle) if in place.</returns>
    public static Tensor gelu(Tensor x, TorchSharp.Modules.GELU.Approximate approximate, bool inplace = false) =>
        approximate == TorchSharp.Modules.GELU.Approximate.tanh ? ActivationFunction<GeluTanh, GeluTanh>.Apply(x, inplace) : gelu(x, inplace);

    /// <summary>Sigmoid linear unit, x / (1 + e^−x).</summary>
    /// <param name="x">See <see cref="gelu(Tensor, bool)"/>.</param>
    /// <param name="inplace">Overwrite x. Where a graph is recorded, a copy of x is kept for backward.</param>
    /// <returns>Of x's shape and dtype; x itself (another handle) if in place.</returns>
    public static Tensor silu(Tensor x, bool inplace = false) => ActivationFunction<Silu, Silu>.Apply(x, inplace);
}
