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

    [DllImport(Library), SuppressGCTransition] public static extern int aoti_torch_is_defined(nint tensor, byte* defined);

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

    [DllImport(Library)] public static extern int torch_list_size(nint list, nuint* size);
    [DllImport(Library)] public static extern int torch_list_get_item(nint list, nuint index, ulong* element);
    [DllImport(Library)] public static extern int torch_delete_list(nint list);
    [DllImport(Library)] public static extern int torch_string_length(nint text, nuint* length);
    [DllImport(Library)] public static extern int torch_string_c_str(nint text, byte** characters);
    [DllImport(Library)] public static extern int torch_delete_string(nint text);

    // Kernels of the dispatcher. A library object owns what was registered through it.
    [DllImport(Library)] public static extern int aoti_torch_library_init_impl(byte* ns, byte* key, byte* file, uint line, nint* library);
    [DllImport(Library)] public static extern int torch_library_impl(nint library, byte* name, delegate* unmanaged<ulong*, ulong, ulong, void> kernel, ulong abiVersion);
    [DllImport(Library)] public static extern int aoti_torch_delete_library_object(nint library);
    [DllImport(Library)] public static extern int aoti_torch_new_uninitialized_tensor(nint* result);

    // Around the dispatcher, straight to the CPU's kernel.
    [DllImport(Library)] public static extern int aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu_backward(nint gradOut, nint query, nint key, nint value, nint output, nint logsumexp, double dropout, int causal, nint* mask, double* scale, nint* gradQuery, nint* gradKey, nint* gradValue);

    /// <summary>Version of the loaded libtorch: major, minor and patch in the upper three bytes.</summary>
    [DllImport(Library)] public static extern ulong aoti_torch_abi_version();

    /// <summary>The version of the stable interface that this library is written against (2.10).</summary>
    public const ulong AbiVersion = 0x020A000000000000;
}
