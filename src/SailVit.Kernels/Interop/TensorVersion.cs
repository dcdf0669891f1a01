using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>How often a tensor's storage was modified in place, as autograd counts it.</summary>
internal static unsafe class TensorVersion
{
    /// <summary>The version; -1 for inference tensors, which are not counted.</summary>
    public static long Of(Tensor tensor)
    {
        // The dispatcher takes the handle on its stack over.
        nint handle;
        if (Shim.aoti_torch_new_tensor_handle(tensor.Handle, &handle) != 0)
        {
            return -1;
        }
        ulong stack = (ulong)handle;
        fixed (byte* name = "aten::_version\0"u8, overload = "\0"u8)
        {
            return Shim.torch_call_dispatcher(name, overload, &stack, Shim.AbiVersion) == 0 ? (long)stack : -1;
        }
    }
}
