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

internal readonly unsafe struct Bf16 : IElement, IHighHalf
{
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
        S.StoreNonTemporal((float*)((ushort*)p + i), Element16.Pair<S, V, Bf16>(first, second));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Widen<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged => high;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Round<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged
    {
        var odd = S.And(S.ShiftRight(v, 16), S.Bits(1));
        var rounded = S.AddBits(S.AddBits(v, S.Bits(0x7fff)), odd);
        // Rounding a NaN could carry into infinity: keep its sign, make it quiet.
        return S.Select(S.Equal(v, v), rounded, S.Or(v, S.Bits(0x400000)));
    }
}

internal readonly unsafe struct F16 : IElement, IHighHalf
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
        S.StoreNonTemporal((float*)((ushort*)p + i), Element16.Pair<S, V, F16>(first, second));

    // Shift exponent and mantissa into place and rescale by 2^112: exact, subnormals included. Infinity and NaN have
    // the largest exponent, here 2^16, and need float32's own.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Widen<S, V>(V high) where S : struct, ISimd<V> where V : unmanaged
    {
        var value = S.Mul(S.And(S.ShiftRightSigned(high, 3), S.Bits(0x8fffe000)), S.Create(5.192296858534828e33f));
        return S.Select(S.LessThan(S.Abs(value), S.Create(65536f)), value, S.Or(value, S.Bits(0x7f800000)));
    }

    // Normal results: add the rounding bias of the 13 dropped bits and rebias the exponent. Subnormal results: let the
    // adder round by adding 1/2. Source: F. Giesen, "float->half variants", 2012 (public domain).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Round<S, V>(V v) where S : struct, ISimd<V> where V : unmanaged
    {
        // From 65,520 on rounding gives 2^16, whose pattern is infinity's.
        var magnitude = S.MinNative(S.Create(65536f), S.Abs(v));
        var odd = S.And(S.ShiftRight(magnitude, 13), S.Bits(1));
        var normal = S.ShiftLeft(S.AddBits(S.AddBits(magnitude, S.Bits(0xc8000fff)), odd), 3);
        var subnormal = S.ShiftLeft(S.Add(magnitude, S.Create(0.5f)), 16);
        var result = S.Select(S.LessThan(magnitude, S.Bits(0x38800000)), subnormal, normal);
        result = S.Select(S.Equal(v, v), result, S.Bits(0x7e000000));
        return S.Or(result, S.And(v, S.Bits(0x80000000)));
    }
}
