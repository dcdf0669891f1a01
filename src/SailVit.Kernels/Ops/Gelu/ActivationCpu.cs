using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Gelu;

/// <summary>Y = f(A).</summary>
internal readonly struct ActivationForward<F> : IElementMap where F : struct, ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<S, V>(V a, V b, V c, out V y, out V z) where S : struct, ISimd<V> where V : unmanaged
    {
        y = F.Value<S, V>(a);
        z = default;
    }
}

/// <summary>Y = B·f′(A) with the incoming gradient B.</summary>
internal readonly struct ActivationBackward<F> : IElementMap where F : struct, ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<S, V>(V a, V b, V c, out V y, out V z) where S : struct, ISimd<V> where V : unmanaged
    {
        y = S.Mul(b, F.Derivative<S, V>(a));
        z = default;
    }
}
