using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>How many rows or columns of a matrix lie side by side in a panel: a constant to the compiler.</summary>
internal interface IPanel
{
    static abstract int Width { get; }
}

/// <summary>A panel of the right matrix: the columns of one vector, as <see cref="Cpu.Gemm.PackedMatrix"/> has them.</summary>
internal readonly struct RightPanel : IPanel
{
    public static int Width => Vector16.Width;
}

/// <summary>Sums of a few rows by two vectors of columns, which one work-item keeps in registers. A left panel has its rows.</summary>
/// <remarks>ILGPU does not unroll loops: tiles are stacked out of rows by their type, and the code is straight-line.</remarks>
internal interface ITile<R> : IPanel where R : unmanaged, ITile<R>
{
    static abstract R Zero { get; }

    /// <summary>t + a·(x, y) with the rows' factors a[at …].</summary>
    static abstract R MultiplyAdd(R t, ArrayView<float> a, long at, Vector16 x, Vector16 y);

    static abstract R Add(R s, R t);

    /// <summary>Row after row, both vectors of each.</summary>
    static abstract void Store(R t, ArrayView<Vector16> to, int at);
}

/// <summary>A tile of one row.</summary>
internal struct Row : ITile<Row>
{
    private Vector16 _x;
    private Vector16 _y;

    public static int Width => 1;

    public static Row Zero => new() { _x = Vector16.Zero, _y = Vector16.Zero };

    public static Row MultiplyAdd(Row t, ArrayView<float> a, long at, Vector16 x, Vector16 y) =>
        new() { _x = Vector16.MultiplyAdd(a[at], x, t._x), _y = Vector16.MultiplyAdd(a[at], y, t._y) };

    public static Row Add(Row s, Row t) => new() { _x = s._x + t._x, _y = s._y + t._y };

    public static void Store(Row t, ArrayView<Vector16> to, int at)
    {
        to[at] = t._x;
        to[at + 1] = t._y;
    }
}

/// <summary>A tile above another.</summary>
internal struct Stack<P, Q> : ITile<Stack<P, Q>>
    where P : unmanaged, ITile<P>
    where Q : unmanaged, ITile<Q>
{
    private P _upper;
    private Q _lower;

    public static int Width => P.Width + Q.Width;

    public static Stack<P, Q> Zero => new() { _upper = P.Zero, _lower = Q.Zero };

    public static Stack<P, Q> MultiplyAdd(Stack<P, Q> t, ArrayView<float> a, long at, Vector16 x, Vector16 y) =>
        new() { _upper = P.MultiplyAdd(t._upper, a, at, x, y), _lower = Q.MultiplyAdd(t._lower, a, at + P.Width, x, y) };

    public static Stack<P, Q> Add(Stack<P, Q> s, Stack<P, Q> t) => new() { _upper = P.Add(s._upper, t._upper), _lower = Q.Add(s._lower, t._lower) };

    public static void Store(Stack<P, Q> t, ArrayView<Vector16> to, int at)
    {
        P.Store(t._upper, to, at);
        Q.Store(t._lower, to, at + (2 * P.Width));
    }
}
