using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.SwiGlu;

/// <summary>Y = silu(A)·B with gate A and up B.</summary>
internal readonly unsafe struct SwiGluForward : IElementMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply<S, V, T>(in RowPointers row, long i) where S : struct, ISimd<V> where V : unmanaged where T : struct, IElement =>
        T.Store<S, V>(row.Y, i, S.Mul(Silu.Value<S, V>(T.Load<S, V>(row.A, i)), T.Load<S, V>(row.B, i)));
}

/// <summary>Gradients of gate (Y) and up (Z) from gate A, up B and incoming C: dY = C·B·silu′(A), dZ = C·silu(A).</summary>
internal readonly unsafe struct SwiGluBackward : IElementMap
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply<S, V, T>(in RowPointers row, long i) where S : struct, ISimd<V> where V : unmanaged where T : struct, IElement
    {
        var gate = T.Load<S, V>(row.A, i);
        var dy = T.Load<S, V>(row.C, i);
        var sigmoid = SimdMath.Sigmoid<S, V>(gate);
        if (row.Y != null)
        {
            var slope = S.Mul(sigmoid, S.Fma(gate, S.Sub(S.Create(1f), sigmoid), S.Create(1f)));
            T.Store<S, V>(row.Y, i, S.Mul(S.Mul(dy, T.Load<S, V>(row.B, i)), slope));
        }
        if (row.Z != null)
        {
            T.Store<S, V>(row.Z, i, S.Mul(dy, S.Mul(gate, sigmoid)));
        }
    }
}
