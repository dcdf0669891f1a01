using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>A few rows times the rows of one or two matrices, A·Wᵀ, each read once as it lies: nothing is packed.</summary>
/// <remarks>Items are strips of 64 rows of W. Such a product takes as long as reading W takes, so 16-bit weights cost half
/// of float32 ones. Sums over K are made in blocks of fixed length, so the result does not depend on the number of threads.</remarks>
internal readonly unsafe struct FewRowsKernel<T, E>(MatrixView left, MatrixView first, MatrixView second, E epilogue) : ICpuKernel
    where T : unmanaged, IElement
    where E : unmanaged, IEpilogue
{
    // Vectors per chain of sums: longer ones lose more than stock's.
    private const int ChainLength = 32;

    private readonly MatrixView _left = left;
    private readonly MatrixView _first = first;
    private readonly MatrixView _second = second;
    private readonly E _epilogue = epilogue;

    public long Items => PackedMatrix.StripsOf(_first.Rows);

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long rows = _left.Rows, depth = _first.Columns;
        int matrices = _second.Data == null ? 1 : 2, sumStep = matrices * PackedMatrix.StripColumns;
        var operand = new LeftRows(_left);
        using var scratch = Workspace.Rent(operand.ScratchFloats(rows, depth, depth) * sizeof(float));
        using var lease = Workspace.Rent(rows * sumStep * sizeof(float));
        var x = operand.Block<S, V>(0, rows, depth, depth, scratch.Floats);
        for (long strip = begin; strip < end; strip++)
        {
            long column = strip * PackedMatrix.StripColumns;
            int columns = (int)Math.Min(PackedMatrix.StripColumns, _first.Rows - column);
            for (int m = 0; m < matrices; m++)
            {
                RowDots.Run<T, S, V>(x.Data, x.RowStride, rows, m == 0 ? _first : _second, column, columns, ChainLength * S.Width, lease.Floats + (m * PackedMatrix.StripColumns), sumStep);
            }
            for (long r = 0; r < rows; r++)
            {
                _epilogue.Row<S, V>(lease.Floats + (r * sumStep), r, column, columns);
            }
        }
    }
}
