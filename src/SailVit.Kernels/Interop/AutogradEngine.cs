using System.Runtime.InteropServices;

namespace SailVit.Kernels.Interop;

/// <summary>Questions to libtorch's autograd engine that its C shim does not answer: exported C++ functions with
/// C-compatible signatures.</summary>
internal static unsafe class AutogradEngine
{
    private static readonly delegate* unmanaged<byte> KeepGraphFunction = (delegate* unmanaged<byte>)Find(
        "_ZN5torch8autograd33get_current_graph_task_keep_graphEv", "?get_current_graph_task_keep_graph@autograd@torch@@YA_NXZ");

    private static readonly delegate* unmanaged<int> TaskIdFunction = (delegate* unmanaged<int>)Find(
        "_ZN5torch8autograd25get_current_graph_task_idEv", "?get_current_graph_task_id@autograd@torch@@YAHXZ");

    /// <summary>Whether this thread is inside a backward pass; false when unknown.</summary>
    public static bool IsRunning => TaskIdFunction is not null && TaskIdFunction() >= 0;

    /// <summary>Whether the running backward pass keeps the graph (retain_graph); true when unknown: only memory is lost.</summary>
    public static bool KeepsGraph => KeepGraphFunction is null || KeepGraphFunction() != 0;

    private static void* Find(string itaniumName, string microsoftName) =>
        NativeLibrary.TryGetExport(LibTorch.CpuLibrary, OperatingSystem.IsWindows() ? microsoftName : itaniumName, out var address) ? (void*)address : null;
}
