using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>A 16-bit storage type by its pattern in the upper half of a float32 lane.</summary>
internal interface IHighHalf
{
    /// <summary>The value of a pattern whose lower half is 0.</summary>
    static abstract V Widen<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>The pattern nearest to a value, ties to even; NaN stays NaN. The lower half is undefined.</summary>
    static abstract V Round<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>How 16-bit elements reach float32 lanes and return.</summary>
internal static unsafe class Element16
{
    private const uint High = 0xffff0000;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V, H>(ushort* p) where S : struct, ISimd<V> where V : unmanaged where H : struct, IHighHalf =>
        H.Widen<S, V>(S.ShiftLeft(S.LoadU16(p), 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V, H>(ushort* p, V v) where S : struct, ISimd<V> where V : unmanaged where H : struct, IHighHalf =>
        S.StoreU16(p, S.ShiftRight(H.Round<S, V>(v), 16));

    /// <summary>The elements of even index, then those of odd index: no element changes its lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadPair<S, V, H>(ushort* p, out V even, out V odd) where S : struct, ISimd<V> where V : unmanaged where H : struct, IHighHalf
    {
        var both = S.Load((float*)p);
        even = H.Widen<S, V>(S.ShiftLeft(both, 16));
        odd = H.Widen<S, V>(S.And(both, S.Bits(High)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePair<S, V, H>(ushort* p, V even, V odd) where S : struct, ISimd<V> where V : unmanaged where H : struct, IHighHalf =>
        S.Store((float*)p, Pair<S, V, H>(even, odd));

    /// <summary>Both in one vector, as they lie in memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Pair<S, V, H>(V even, V odd) where S : struct, ISimd<V> where V : unmanaged where H : struct, IHighHalf =>
        S.Or(S.ShiftRight(H.Round<S, V>(even), 16), S.And(H.Round<S, V>(odd), S.Bits(High)));
}
