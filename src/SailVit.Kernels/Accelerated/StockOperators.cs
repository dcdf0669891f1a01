using System.Runtime.InteropServices;
using System.Text;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Accelerated;

/// <summary>libtorch's own kernels, for calls that are not served here.</summary>
/// <remarks>
/// An exception cannot cross the managed frames that lie between libtorch's kernel and its caller. Where a caller's mistake
/// can be the cause (shapes that do not fit), the operator is called through TorchSharp's library: it catches the exception
/// and keeps its message, and the TorchSharp function that began all this, which gets an undefined tensor, throws it. Within a
/// longer function (linear) libtorch goes on and objects to the undefined tensor, so the exception has that text. Other calls
/// go to the dispatcher.
/// </remarks>
internal static unsafe partial class StockOperators
{
    private const string Library = "LibTorchSharp";

    // Handles in and out; 0 after an exception.
    [LibraryImport(Library)] public static partial nint THSTensor_mm(nint left, nint right);
    [LibraryImport(Library)] public static partial nint THSTensor_bmm(nint left, nint right);
    [LibraryImport(Library)] public static partial nint THSTensor_silu(nint input);
    [LibraryImport(Library)] public static partial nint THSTensor_gelu(nint input);
    [LibraryImport(Library)] public static partial nint THSNN_layer_norm(nint input, long* shape, long dimensions, nint weight, nint bias, double eps);

    [LibraryImport(Library)] private static partial nint THSTorch_get_and_reset_last_err();

    /// <summary>Why the last call failed.</summary>
    public static string TakeMessage() =>
        Marshal.PtrToStringUTF8(THSTorch_get_and_reset_last_err()) ?? "libtorch's own kernel failed; its message is on standard error.";

    /// <summary>Hands all arguments on to the operator's own kernel.</summary>
    /// <returns>False if it failed; results are undefined tensors then, and the arguments are gone.</returns>
    public static bool Dispatch(in OperatorCall call, ReadOnlySpan<byte> name, int results)
    {
        fixed (byte* operatorName = name, overload = "\0"u8)
        {
            if (Shim.torch_call_dispatcher(operatorName, overload, call.Stack, Shim.AbiVersion) == 0)
            {
                return true;
            }
        }
        call.SetUndefined(results);
        return false;
    }

    /// <summary>Hands a result over that TorchSharp's library made; an undefined tensor, from which TorchSharp throws, if it made none.</summary>
    public static void Return(in OperatorCall call, ReadOnlySpan<byte> name, nint result)
    {
        if (result == 0)
        {
            Report(name);
        }
        call.ReturnHandles(result);
    }

    /// <summary>Says that libtorch refused a call; its message stays where TorchSharp finds it.</summary>
    public static void Report(ReadOnlySpan<byte> name)
    {
        if (SailVitEventSource.Log.IsEnabled())
        {
            SailVitEventSource.Log.Dispatched(Encoding.UTF8.GetString(name[..^1]), "libtorch, refused", "");
        }
    }
}
