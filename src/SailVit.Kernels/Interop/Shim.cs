using System.Runtime.InteropServices;

namespace SailVit.Kernels.Interop;

/// <summary>libtorch's stable C interface: each function once, in the order of its header
/// (torch/csrc/inductor/aoti_torch/c/shim.h and torch/csrc/stable/c/shim.h). A status other than 0 is an error.</summary>
internal static unsafe partial class Shim
{
    private const string Library = "torch_cpu";

    // Getters never block and never call back: they skip the garbage collector's transition (4 ns instead of 8).
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_data_ptr(nint tensor, void** pointer);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_dim(nint tensor, long* dim);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_numel(nint tensor, long* numel);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_sizes(nint tensor, long** sizes);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_strides(nint tensor, long** strides);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_dtype(nint tensor, int* dtype);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_device_type(nint tensor, int* type);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_device_index(nint tensor, int* index);
    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_get_layout(nint tensor, int* layout);

    [DllImport(Library)] public static extern int aoti_torch_empty_strided(long dim, long* sizes, long* strides, int dtype, int deviceType, int deviceIndex, nint* result);
    [DllImport(Library)] public static extern int aoti_torch_new_tensor_handle(nint tensor, nint* result);
    [DllImport(Library)] public static extern int aoti_torch_delete_tensor_object(nint tensor);

    /// <summary>Runs fn(begin, end, context) over [begin, end) on libtorch's own thread pool.</summary>
    [DllImport(Library)] public static extern int torch_parallel_for(long begin, long end, long grain, delegate* unmanaged<long, long, void*, void> fn, void* context);
    [DllImport(Library)] public static extern int torch_get_num_threads(uint* count);

    /// <summary>Calls an operator by name. The stack holds arguments, then results: owned handles, or bits of scalars.</summary>
    [DllImport(Library)] public static extern int torch_call_dispatcher(byte* name, byte* overload, ulong* stack, ulong abiVersion);

    // Lists for the dispatcher, which takes over the list and the owned handles in it.
    [DllImport(Library)] public static extern int torch_new_list_reserve_size(nuint size, nint* list);
    [DllImport(Library)] public static extern int torch_list_push_back(nint list, ulong element);

    /// <summary>Version of the loaded libtorch: major, minor and patch in the upper three bytes.</summary>
    [DllImport(Library)] public static extern ulong aoti_torch_abi_version();

    /// <summary>The version of the stable interface that this library is written against (2.10).</summary>
    public const ulong AbiVersion = 0x020A000000000000;
}
