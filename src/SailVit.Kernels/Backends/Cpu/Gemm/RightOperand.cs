namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The right matrix of a product, [K, N], before packing.</summary>
internal interface IRightOperand
{
    /// <summary>1, or 2 for a pair (gate and up) whose strips alternate.</summary>
    int Matrices { get; }

    long Depth { get; }

    long Columns { get; }

    /// <summary>Packs strips [begin, end) of <paramref name="to"/>, whose first column is <paramref name="firstColumn"/> here.
    /// Columns that a strip has beyond the last one are zeros.</summary>
    void Pack<S, V>(long firstColumn, PackedMatrix to, long begin, long end) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Makes right operands of matrices in memory, and packs any on all threads.</summary>
internal static unsafe class RightOperand
{
    /// <summary>B = x.</summary>
    public static RightRows<MatrixView> Of(MatrixView x) => new(x);

    /// <summary>B = xᵀ: a linear layer's weight [N, K].</summary>
    public static RightColumns Transposed(MatrixView x) => new(x, default, 1);

    /// <summary>Both transposed, strip by strip in turn.</summary>
    public static RightColumns TransposedPair(MatrixView first, MatrixView second) => new(first, second, 2);

    /// <summary>Packs the columns [firstColumn, firstColumn + to.Columns).</summary>
    public static void Pack<B>(this B source, long firstColumn, PackedMatrix to) where B : unmanaged, IRightOperand =>
        CpuBackend.Run(new Kernel<B>(source, firstColumn, to), to.Strips, 1);

    /// <summary>The valid columns of a strip, after clearing one that has fewer than all.</summary>
    public static int Begin<B>(B source, long firstColumn, PackedMatrix to, long strip, out long column) where B : struct, IRightOperand
    {
        column = firstColumn + (strip / source.Matrices * PackedMatrix.StripColumns);
        int count = (int)Math.Min(PackedMatrix.StripColumns, source.Columns - column);
        if (count < PackedMatrix.StripColumns)
        {
            float* p = to.Strip(strip);
            for (long i = 0; i < to.Depth * PackedMatrix.StripColumns; i++)
            {
                p[i] = 0;
            }
        }
        return count;
    }

    private readonly struct Kernel<B>(B source, long firstColumn, PackedMatrix to) : ICpuKernel where B : unmanaged, IRightOperand
    {
        public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged =>
            source.Pack<S, V>(firstColumn, to, begin, end);
    }
}
