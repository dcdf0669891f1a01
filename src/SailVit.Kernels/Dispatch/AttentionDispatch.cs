using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Dispatch;

/// <summary>Chooses what multiplies attention's bfloat16 tiles.</summary>
/// <remarks>Where linear layers of bfloat16 are libtorch's (<see cref="LinearDispatch"/>, whose switch forces both), attention's
/// tiles go through the same library's product of small matrices; everything between the products is this library's either way. Where it cannot
/// (another system, an older libtorch, oneDNN switched off or limited by ONEDNN_MAX_CPU_ISA), the own float32 products serve.</remarks>
public static class AttentionDispatch
{
    // A narrower width than the processor's is asked for to see this library's own products at that width.
    internal static bool UsesBFloat16Product =>
        Cpu.Width == SimdWidth.V512
        && LinearDispatch.Explain(TorchSharp.torch.ScalarType.BFloat16).Path == LinearPath.LibTorch && BFloat16Product.IsAvailable;

    /// <summary>What multiplies attention's tiles of a dtype now; for <c>doctor</c>.</summary>
    /// <param name="dtype">float32, bfloat16 or float16.</param>
    public static string Explain(TorchSharp.torch.ScalarType dtype) =>
        dtype == TorchSharp.torch.ScalarType.BFloat16 && UsesBFloat16Product
            ? "bfloat16 dot products, which .NET lacks, through libtorch's small product; training beside a mask in float32"
            : "products in float32";
}
