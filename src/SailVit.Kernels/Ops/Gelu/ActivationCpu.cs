using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Gelu;

/// <summary>Y = f(A).</summary>
internal readonly unsafe struct ActivationForward<F> : IElementMap where F : struct, ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply<S, V, T>(in RowPointers row, long i) where S : struct, ISimd<V> where V : unmanaged where T : struct, IElement =>
        T.Store<S, V>(row.Y, i, F.Value<S, V>(T.Load<S, V>(row.A, i)));
}

/// <summary>Y = B·f′(A) with the incoming gradient B.</summary>
internal readonly unsafe struct ActivationBackward<F> : IElementMap where F : struct, ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply<S, V, T>(in RowPointers row, long i) where S : struct, ISimd<V> where V : unmanaged where T : struct, IElement =>
        T.Store<S, V>(row.Y, i, S.Mul(T.Load<S, V>(row.B, i), F.Derivative<S, V>(T.Load<S, V>(row.A, i))));
}
