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
}

internal readonly unsafe struct F32 : IElement
{
    public static int Size => 4;

    public static DType DType => DType.Float32;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => S.Load((float*)p + i);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => S.Store((float*)p + i, v);
}

internal readonly unsafe struct Bf16 : IElement
{
    public static int Size => 2;

    public static DType DType => DType.BFloat16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => S.LoadBf16((ushort*)p + i);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => S.StoreBf16((ushort*)p + i, v);
}

internal readonly unsafe struct F16 : IElement
{
    public static int Size => 2;

    public static DType DType => DType.Float16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(void* p, long i) where S : struct, ISimd<V> where V : unmanaged => S.LoadF16((ushort*)p + i);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(void* p, long i, V v) where S : struct, ISimd<V> where V : unmanaged => S.StoreF16((ushort*)p + i, v);
}
