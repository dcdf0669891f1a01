using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>Two questions to libtorch's autograd engine that its C shim does not answer. They are exported C++ functions with
/// C-compatible signatures; where a libtorch lacks one, the answer is the safe one and only memory is lost.</summary>
internal static unsafe class AutogradEngine
{
    private static readonly delegate* unmanaged<byte> KeepGraphFunction =
        (delegate* unmanaged<byte>)Find("_ZN5torch8autograd33get_current_graph_task_keep_graphEv", "?get_current_graph_task_keep_graph@autograd@torch@@YA_NXZ");

    private static readonly delegate* unmanaged<nint, void> AddCachedTensor =
        (delegate* unmanaged<nint, void>)Find("_ZN2at7caching17add_cached_tensorERKNS_6TensorE", "?add_cached_tensor@caching@at@@YAXAEBVTensor@2@@Z");

    private static readonly delegate* unmanaged<nint, void> RemoveCachedTensor =
        (delegate* unmanaged<nint, void>)Find("_ZN2at7caching20remove_cached_tensorERKNS_6TensorE", "?remove_cached_tensor@caching@at@@YAXAEBVTensor@2@@Z");

    private static readonly bool CanLend = EnableLending();

    /// <summary>Whether the running backward pass keeps the graph (retain_graph); true when unknown.</summary>
    public static bool KeepsGraph => KeepGraphFunction is null || KeepGraphFunction() != 0;

    /// <summary>Tells the engine not to count our reference to a gradient, so that it moves the gradient into <c>.grad</c>
    /// instead of copying it. Ends with <see cref="EndLending"/>, before the reference is given up.</summary>
    public static void Lend(Tensor gradient)
    {
        if (CanLend)
        {
            AddCachedTensor(gradient.Handle);
        }
    }

    public static void EndLending(Tensor gradient)
    {
        if (CanLend)
        {
            RemoveCachedTensor(gradient.Handle);
        }
    }

    private static bool EnableLending()
    {
        var enable = (delegate* unmanaged<byte, void>)Find("_ZN2at7caching26set_cached_tensors_enabledEb", "?set_cached_tensors_enabled@caching@at@@YAX_N@Z");
        if (enable is null || AddCachedTensor is null || RemoveCachedTensor is null)
        {
            return false;
        }
        enable(1);
        return true;
    }

    private static void* Find(string itaniumName, string microsoftName) =>
        NativeLibrary.TryGetExport(LibTorch.CpuLibrary, OperatingSystem.IsWindows() ? microsoftName : itaniumName, out var address) ? (void*)address : null;
}
