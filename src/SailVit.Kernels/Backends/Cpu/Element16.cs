using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>A 16-bit storage type: from and to float32 lanes.</summary>
internal interface IElement16
{
    /// <summary>The value of a pattern in the upper half of its lane; the lower half is 0.</summary>
    static abstract V Widen<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>The pattern nearest to a value, ties to even, in the lower half of its lane; the upper half is undefined. NaN stays NaN.</summary>
    static abstract V Narrow<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>The values of all lower halves, and of all upper halves: no element changes its lane.</summary>
    static abstract void WidenPair<S, V>(V both, out V even, out V odd) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>Undoes <see cref="WidenPair"/>.</summary>
    static abstract V NarrowPair<S, V>(V even, V odd) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>How 16-bit elements reach float32 lanes and return.</summary>
internal static unsafe class Element16
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V, H>(ushort* p) where S : struct, ISimd<V> where V : unmanaged where H : struct, IElement16 =>
        H.Widen<S, V>(S.ShiftLeft(S.LoadU16(p), 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V, H>(ushort* p, V v) where S : struct, ISimd<V> where V : unmanaged where H : struct, IElement16 =>
        S.StoreU16(p, H.Narrow<S, V>(v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadPair<S, V, H>(ushort* p, out V even, out V odd) where S : struct, ISimd<V> where V : unmanaged where H : struct, IElement16 =>
        H.WidenPair<S, V>(S.Load((float*)p), out even, out odd);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePair<S, V, H>(ushort* p, V even, V odd) where S : struct, ISimd<V> where V : unmanaged where H : struct, IElement16 =>
        S.Store((float*)p, H.NarrowPair<S, V>(even, odd));
}
