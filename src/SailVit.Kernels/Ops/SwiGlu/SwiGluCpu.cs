using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.SwiGlu;

/// <summary>Y = silu(A)·B with gate A and up B.</summary>
internal readonly struct SwiGluForward : IElementMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<S, V>(V a, V b, V c, out V y, out V z) where S : struct, ISimd<V> where V : unmanaged
    {
        y = S.Mul(Silu.Value<S, V>(a), b);
        z = default;
    }
}

/// <summary>Gradients of gate (Y) and up (Z) from gate A, up B and incoming C: dY = C·B·silu′(A), dZ = C·silu(A).</summary>
internal readonly struct SwiGluBackward : IElementMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<S, V>(V a, V b, V c, out V y, out V z) where S : struct, ISimd<V> where V : unmanaged
    {
        var sigmoid = SimdMath.Sigmoid<S, V>(a, out _);
        y = S.Mul(S.Mul(c, b), Silu.Derivative<S, V>(a, sigmoid));
        z = S.Mul(c, S.Mul(a, sigmoid));
    }
}
