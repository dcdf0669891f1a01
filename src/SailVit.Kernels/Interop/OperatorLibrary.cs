namespace SailVit.Kernels.Interop;

/// <summary>Kernels of ATen operators, registered in libtorch's dispatcher for one key until disposal.</summary>
internal sealed unsafe class OperatorLibrary : IDisposable
{
    private nint _library;

    /// <summary>Begins a set of kernels for a dispatch key.</summary>
    /// <param name="key">Null-terminated name of the key.</param>
    public OperatorLibrary(ReadOnlySpan<byte> key)
    {
        nint library;
        fixed (byte* ns = "aten\0"u8, keyName = key, file = "SailVit\0"u8)
        {
            ThrowIfFailed(Shim.aoti_torch_library_init_impl(ns, keyName, file, 0, &library));
        }
        _library = library;
    }

    /// <summary>Calls of the operator with this key go to <paramref name="kernel"/> from now on.</summary>
    /// <param name="name">Null-terminated, without namespace.</param>
    /// <param name="kernel">Gets the stack, the number of arguments and of results. Must not throw.</param>
    public void Add(ReadOnlySpan<byte> name, delegate* unmanaged<ulong*, ulong, ulong, void> kernel)
    {
        fixed (byte* operatorName = name)
        {
            ThrowIfFailed(Shim.torch_library_impl(_library, operatorName, kernel, Shim.AbiVersion));
        }
    }

    /// <summary>What was there before is in force again.</summary>
    public void Dispose()
    {
        if (_library != 0)
        {
            // It fails for no library that was made here.
            _ = Shim.aoti_torch_delete_library_object(_library);
            _library = 0;
        }
    }

    private static void ThrowIfFailed(int status)
    {
        if (status != 0)
        {
            throw new LibTorchException($"libtorch {LibTorch.Version} did not accept a kernel; its own message is on standard error.");
        }
    }
}
