namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>What happens to finished sums: bias, activation, storing. Fused, since the sums are still in the first cache.</summary>
internal unsafe interface IEpilogue
{
    /// <summary>Strips of B per output strip: 1, or 2 when gate and up strips alternate.</summary>
    static abstract int Strips { get; }

    /// <summary>Consumes a row of sums.</summary>
    /// <param name="sums">Strips × 64 sums, strip after strip.</param>
    /// <param name="row">Row of the output.</param>
    /// <param name="column">First column of the output.</param>
    /// <param name="columns">Valid columns, 1 to 64.</param>
    void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>C = A·B.</summary>
internal readonly unsafe struct StoreEpilogue<T>(void* output, long rowStride) : IEpilogue where T : struct, IElement
{
    private readonly byte* _output = (byte*)output;
    private readonly long _rowStride = rowStride;

    public static int Strips => 1;

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged
    {
        long at = (row * _rowStride) + column;
        int i = 0;
        for (; i + S.Width <= columns; i += S.Width)
        {
            T.Store<S, V>(_output, at + i, S.Load(sums + i));
        }
        for (; i < columns; i++)
        {
            T.Store<SimdScalar, float>(_output, at + i, sums[i]);
        }
    }
}
