using System.Runtime.InteropServices;

namespace SailVit.Kernels.Interop;

/// <summary>A question to libtorch's autograd engine that its C shim does not answer: an exported C++ function with a
/// C-compatible signature. Where a libtorch lacks it, the answer is the safe one and only memory is lost.</summary>
internal static unsafe class AutogradEngine
{
    private static readonly delegate* unmanaged<byte> KeepGraphFunction = (delegate* unmanaged<byte>)Find(
        "_ZN5torch8autograd33get_current_graph_task_keep_graphEv", "?get_current_graph_task_keep_graph@autograd@torch@@YA_NXZ");

    /// <summary>Whether the running backward pass keeps the graph (retain_graph); true when unknown.</summary>
    public static bool KeepsGraph => KeepGraphFunction is null || KeepGraphFunction() != 0;

    private static void* Find(string itaniumName, string microsoftName) =>
        NativeLibrary.TryGetExport(LibTorch.CpuLibrary, OperatingSystem.IsWindows() ? microsoftName : itaniumName, out var address) ? (void*)address : null;
}
