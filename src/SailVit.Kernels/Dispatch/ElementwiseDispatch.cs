using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;

namespace SailVit.Kernels.Dispatch;

/// <summary>Element-wise functions on the backend in use.</summary>
internal static class ElementwiseDispatch
{
    /// <summary>Applies <typeparamref name="M"/> to every element of A; devices run <typeparamref name="P"/>, the same function
    /// without tables.</summary>
    public static void Run<M, P>(in MapOperands operands) where M : unmanaged, IElementMap where P : unmanaged, IElementMap
    {
        if (Dispatcher.UsesOpenCl)
        {
            OpenClMap.For<P>(operands);
            return;
        }
        RowMap.For<M>(operands);
    }

    /// <summary>Applies <typeparamref name="M"/> to every element of A.</summary>
    public static void Run<M>(in MapOperands operands) where M : unmanaged, IElementMap => Run<M, M>(operands);
}
