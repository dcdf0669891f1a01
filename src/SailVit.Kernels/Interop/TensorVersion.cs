using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>How often a tensor's storage was modified in place, as autograd counts it.</summary>
internal static unsafe class TensorVersion
{
    /// <summary>The version; -1 for inference tensors, which are not counted.</summary>
    public static long Of(Tensor tensor) =>
        // Asked for an inference tensor's version, libtorch writes a backtrace to standard error.
        Call("aten::is_inference\0"u8, tensor.Handle) == 0 ? Call("aten::_version\0"u8, tensor.Handle) : -1;

    /// <summary>Counts a change that libtorch does not see: graphs that saved the tensor and weights packed from it notice.</summary>
    /// <param name="tensor">Of rank 1 or more. Grad mode must be off, or the tensor outside any graph.</param>
    public static void Increment(Tensor tensor)
    {
        // Any torch op in place on a view counts, also on an empty one.
        using var none = tensor.narrow(0, 0, 0);
        none.zero_().Dispose();
    }

    /// <summary>Whether libtorch counts changes of all these tensors.</summary>
    public static bool IsCounted(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (var tensor in tensors)
        {
            if (Of(tensor) < 0)
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>Asks an operator without other arguments about a tensor; -1 if it fails.</summary>
    internal static long Call(ReadOnlySpan<byte> op, nint tensor)
    {
        // The dispatcher takes the handle on its stack over.
        nint handle;
        if (Shim.aoti_torch_new_tensor_handle(tensor, &handle) != 0)
        {
            return -1;
        }
        ulong stack = (ulong)handle;
        fixed (byte* name = op, overload = "\0"u8)
        {
            return Shim.torch_call_dispatcher(name, overload, &stack, Shim.AbiVersion) == 0 ? (long)stack : -1;
        }
    }
}
