using System.Runtime.CompilerServices;
using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Rows of 32 columns, in the registers of one work-item: what a matrix product adds up.</summary>
/// <remarks>By recursion, because ILGPU does not unroll loops. Strides are in elements.</remarks>
internal interface IRowTile<R> where R : unmanaged, IRowTile<R>
{
    /// <summary>Rows.</summary>
    static abstract int Count { get; }

    static abstract R Zero { get; }

    static abstract R Load(ArrayView<float> from, long at, long stride);

    static abstract void Store(ArrayView<float> to, long at, long stride, R tile);

    /// <summary>tile + column · row: a[at + i·stride] times b for row i.</summary>
    static abstract R Fma(ArrayView<float> a, long at, long stride, RowTile b, R tile);

    static abstract R Add(R a, R b);

    /// <summary>Row i times factors[at + i].</summary>
    static abstract R Scale(R tile, ArrayView<float> factors, long at);
}

/// <summary>One row.</summary>
internal readonly struct RowTile(Vector16 low, Vector16 high) : IRowTile<RowTile>
{
    /// <summary>Columns of every tile.</summary>
    public const int Columns = 2 * Vector16.Width;

    private readonly Vector16 _low = low;
    private readonly Vector16 _high = high;

    public static int Count => 1;

    public static RowTile Zero => new(Vector16.Zero, Vector16.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowTile Load(ArrayView<float> from, long at, long stride) => new(Vector16.Load(from, at), Vector16.Load(from, at + Vector16.Width));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ArrayView<float> to, long at, long stride, RowTile tile)
    {
        tile._low.Store(to, at);
        tile._high.Store(to, at + Vector16.Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowTile Fma(ArrayView<float> a, long at, long stride, RowTile b, RowTile tile)
    {
        var factor = Vector16.Create(a[at]);
        return new(Vector16.Fma(factor, b._low, tile._low), Vector16.Fma(factor, b._high, tile._high));
    }

    public static RowTile Add(RowTile a, RowTile b) => new(a._low + b._low, a._high + b._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowTile Scale(RowTile tile, ArrayView<float> factors, long at)
    {
        var factor = Vector16.Create(factors[at]);
        return new(tile._low * factor, tile._high * factor);
    }
}

/// <summary>Twice the rows of <typeparamref name="R"/>.</summary>
internal readonly struct RowPair<R>(R upper, R lower) : IRowTile<RowPair<R>> where R : unmanaged, IRowTile<R>
{
    private readonly R _upper = upper;
    private readonly R _lower = lower;

    public static int Count => 2 * R.Count;

    public static RowPair<R> Zero => new(R.Zero, R.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPair<R> Load(ArrayView<float> from, long at, long stride) => new(R.Load(from, at, stride), R.Load(from, at + (R.Count * stride), stride));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ArrayView<float> to, long at, long stride, RowPair<R> tile)
    {
        R.Store(to, at, stride, tile._upper);
        R.Store(to, at + (R.Count * stride), stride, tile._lower);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPair<R> Fma(ArrayView<float> a, long at, long stride, RowTile b, RowPair<R> tile) =>
        new(R.Fma(a, at, stride, b, tile._upper), R.Fma(a, at + (R.Count * stride), stride, b, tile._lower));

    public static RowPair<R> Add(RowPair<R> a, RowPair<R> b) => new(R.Add(a._upper, b._upper), R.Add(a._lower, b._lower));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPair<R> Scale(RowPair<R> tile, ArrayView<float> factors, long at) =>
        new(R.Scale(tile._upper, factors, at), R.Scale(tile._lower, factors, at + R.Count));
}
