namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>What happens to finished sums: bias, activation, storing. Fused, since the sums are still in the first cache.</summary>
internal unsafe interface IEpilogue
{
    /// <summary>Where rows from this one on will be stored, and what will be added to them read; default for nowhere known.</summary>
    /// <param name="row">First row of the block.</param>
    /// <param name="column">First column of the strip.</param>
    /// <param name="matrix">0, or 1 for the second of a pair, whose sums are made after the first's.</param>
    LinesAhead Ahead(long row, long column, int matrix);

    /// <summary>Where the sums themselves may be made, since they are the output; null for scratch and <see cref="Row"/>.</summary>
    /// <param name="row">First row of the block.</param>
    /// <param name="column">First column of the strip.</param>
    SumPlace InPlace(long row, long column);

    /// <summary>Consumes a row of sums.</summary>
    /// <param name="sums">64 sums, of a pair of matrices 64 each, one after the other; may be overwritten. Beyond the valid
    /// columns they are undefined.</param>
    /// <param name="row">Row of the output.</param>
    /// <param name="column">First column of the output.</param>
    /// <param name="columns">Valid columns, 1 to 64.</param>
    void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Rows of sums, [rows, RowStep]; no data for nowhere.</summary>
internal readonly unsafe struct SumPlace(float* data, int rowStep)
{
    public readonly float* Data = data;
    public readonly int RowStep = rowStep;
}

/// <summary>C = A·B, stored as it is.</summary>
internal readonly unsafe struct StoreEpilogue<T>(void* output, long rowStride) : IEpilogue where T : struct, IElement
{
    private readonly byte* _output = (byte*)output;
    private readonly long _rowStride = rowStride;

    public LinesAhead Ahead(long row, long column, int matrix) => default;

    public SumPlace InPlace(long row, long column) => default;

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged =>
        RowStore.Run<S, V, T>(sums, columns, _output, (row * _rowStride) + column);
}

/// <summary>Rounds float32 values to a storage type.</summary>
internal static unsafe class RowStore
{
    /// <summary>to[at + i] = from[i].</summary>
    public static void Run<S, V, T>(float* from, int count, byte* to, long at)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        int i = 0;
        for (; i + S.Width <= count; i += S.Width)
        {
            T.Store<S, V>(to, at + i, S.Load(from + i));
        }
        for (; i < count; i++)
        {
            T.Store<SimdScalar, float>(to, at + i, from[i]);
        }
    }
}
