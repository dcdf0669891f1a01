using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>A call that is generic over one storage type.</summary>
internal interface IElementCall
{
    void Invoke<T>() where T : unmanaged, IElement;
}

/// <summary>Turns a run-time dtype into a type argument.</summary>
internal static class ElementDispatch
{
    public static void For<A>(DType dtype, A call) where A : struct, IElementCall, allows ref struct
    {
        switch (dtype)
        {
            case DType.Float32:
                call.Invoke<F32>();
                break;
            case DType.BFloat16:
                call.Invoke<Bf16>();
                break;
            case DType.Float16:
                call.Invoke<F16>();
                break;
            default:
                throw new NotSupportedException($"There is no CPU kernel for {dtype}; there is for Float32, BFloat16 and Float16.");
        }
    }
}
