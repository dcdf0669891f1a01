using System.Runtime.CompilerServices;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>A storage type: how V-wide float32 values are read from it and written to it. Arithmetic is float32.</summary>
internal unsafe interface IElement
{
    /// <summary>Bytes per element.</summary>
    static abstract int Size { get; }

    static abstract DType DType { get; }

    /// <summary>Loads V's width of elements from index <paramref name="i"/> on.</summary>
    static abstract V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>Stores V's width of elements from index <paramref name="i"/> on, rounding to nearest even.</summary>
    static abstract void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged;

    /// <summary>Loads twice V's width of elements, in an order that <see cref="StorePair"/> undoes and that is the same for all
    /// operands: what an element-wise function needs, and cheaper than two loads where elements have 16 bits.</summary>
    static virtual void LoadPair<S, V>(void* p, long i, out V first, out V second) where S : struct, ISimd<V> where V : unmanaged =>
        throw new NotSupportedException("No tensor of this type is an operand of an element-wise function.");

    /// <summary>Stores what <see cref="LoadPair"/> loads.</summary>
    static virtual void StorePair<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged =>
        throw new NotSupportedException("No tensor of this type is an operand of an element-wise function.");

    /// <summary>The same past the cache; the address must be aligned to V's size.</summary>
    static virtual void StorePairNonTemporal<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged =>
        throw new NotSupportedException("No tensor of this type is an operand of an element-wise function.");
}

internal readonly unsafe struct F32 : IElement
{
    public static int Size => 4;

    public static DType DType => DType.Float32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => S.Load((float*)p + i);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => S.Store((float*)p + i, v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadPair<S, V>(void* p, long i, out V first, out V second) where S : struct, ISimd<V> where V : unmanaged
    {
        first = S.Load((float*)p + i);
        second = S.Load((float*)p + i + S.Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePair<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged
    {
        S.Store((float*)p + i, first);
        S.Store((float*)p + i + S.Width, second);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairNonTemporal<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged
    {
        S.StoreNonTemporal((float*)p + i, first);
        S.StoreNonTemporal((float*)p + i + S.Width, second);
    }
}

internal readonly unsafe struct Bf16 : IElement, IElement16
{
    private const uint High = 0xffff0000;

    public static int Size => 2;

    public static DType DType => DType.BFloat16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => Element16.Load<S, V, Bf16>((ushort*)p + i);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => Element16.Store<S, V, Bf16>((ushort*)p + i, v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadPair<S, V>(void* p, long i, out V first, out V second) where S : struct, ISimd<V> where V : unmanaged =>
        Element16.LoadPair<S, V, Bf16>((ushort*)p + i, out first, out second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePair<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged =>
        Element16.StorePair<S, V, Bf16>((ushort*)p + i, first, second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairNonTemporal<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged =>
        S.StoreNonTemporal((float*)((ushort*)p + i), NarrowPair<S, V>(first, second));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Widen<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged => high;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Narrow<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged => S.ShiftRight(Round<S, V>(v), 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WidenPair<S, V>(V both, out V even, out V odd) where S : struct, ISimd<V> where V : unmanaged
    {
        even = S.ShiftLeft(both, 16);
        odd = S.And(both, S.Bits(High));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V NarrowPair<S, V>(V even, V odd) where S : struct, ISimd<V> where V : unmanaged =>
        S.Or(S.ShiftRight(Round<S, V>(even), 16), S.And(Round<S, V>(odd), S.Bits(High)));

    // In the upper half; the lower one is undefined.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Round<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged
    {
        var odd = S.And(S.ShiftRight(v, 16), S.Bits(1));
        var rounded = S.AddBits(S.AddBits(v, S.Bits(0x7fff)), odd);
        // Rounding a NaN could carry into infinity: keep its sign, make it quiet.
        return S.Select(S.Equal(v, v), rounded, S.Or(v, S.Bits(0x400000)));
    }
}

internal readonly unsafe struct F16 : IElement, IElement16
{
    public static int Size => 2;

    public static DType DType => DType.Float16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => Element16.Load<S, V, F16>((ushort*)p + i);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => Element16.Store<S, V, F16>((ushort*)p + i, v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadPair<S, V>(void* p, long i, out V first, out V second) where S : struct, ISimd<V> where V : unmanaged =>
        Element16.LoadPair<S, V, F16>((ushort*)p + i, out first, out second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePair<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged =>
        Element16.StorePair<S, V, F16>((ushort*)p + i, first, second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePairNonTemporal<S, V>(void* p, long i, V first, V second) where S : struct, ISimd<V> where V : unmanaged =>
        S.StoreNonTemporal((float*)((ushort*)p + i), NarrowPair<S, V>(first, second));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Widen<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged => Unbounded<S, V>(Rescaled<S, V>(high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Narrow<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged =>
        S.Or(S.And(Quiet<S, V>(v, Magnitude<S, V>(v)), S.Bits(0x7fff)), S.And(S.ShiftRight(v, 16), S.Bits(0x8000)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WidenPair<S, V>(V both, out V even, out V odd) where S : struct, ISimd<V> where V : unmanaged
    {
        even = Rescaled<S, V>(S.ShiftLeft(both, 16));
        odd = Rescaled<S, V>(both);
        // One more than the largest exponent carries into the sign.
        if (S.Any(S.And(S.AddBits(S.And(both, S.Bits(0x7c007c00)), S.Bits(0x04000400)), S.Bits(0x80008000))))
        {
            even = Unbounded<S, V>(even);
            odd = Unbounded<S, V>(odd);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V NarrowPair<S, V>(V even, V odd) where S : struct, ISimd<V> where V : unmanaged
    {
        V low = Magnitude<S, V>(even), high = Magnitude<S, V>(odd);
        if (S.AnyNaN(S.Add(even, odd)))
        {
            low = Quiet<S, V>(even, low);
            high = Quiet<S, V>(odd, high);
        }
        var pair = S.Or(S.And(low, S.Bits(0xffff)), S.ShiftLeft(high, 16));
        return S.Or(S.Or(pair, S.And(S.ShiftRight(even, 16), S.Bits(0x8000))), S.And(odd, S.Bits(0x80000000)));
    }

    // Exponent and mantissa shifted into place and rescaled by 2^112: exact, subnormals included.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Rescaled<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(S.And(S.ShiftRightSigned(high, 3), S.Bits(0x8fffe000)), S.Create(5.192296858534828e33f));

    // Infinity and NaN have the largest exponent, here 2^16, and need float32's own.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Unbounded<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged =>
        S.Select(S.LessThan(S.Abs(v), S.Create(65536f)), v, S.Or(v, S.Bits(0x7f800000)));

    /// <remarks>
    /// With u = 2^e the power of two below |v|, at least that of the smallest normal number, the adder rounds |v| + 2^13·u to multiples
    /// of float16's ulp, and leaves |v| / ulp in the lowest bits of the sum: 1024 and the mantissa, or a subnormal's mantissa alone. The
    /// exponent stands above them; shifted down and added it gives the pattern, but for a constant, which 2·u more in the sum make 2^16.
    /// From 65,520 on this gives infinity's pattern. Of NaN it is undefined.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Magnitude<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged
    {
        var magnitude = S.MinNative(S.Create(65536f), S.Abs(v));
        var unit = S.MaxNative(S.Bits(0x38800000), S.And(magnitude, S.Bits(0x7f800000)));
        var sum = S.Fma(unit, S.Create(8194f), magnitude);
        return S.AddBits(sum, S.ShiftRight(sum, 13));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Quiet<S, V>(V v, V pattern) where S : struct, ISimd<V> where V : unmanaged => S.Select(S.Equal(v, v), pattern, S.Bits(0x7e00));
}
