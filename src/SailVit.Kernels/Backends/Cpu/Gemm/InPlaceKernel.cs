namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>C = Aᵀ·B, a sum over the rows of both, read where they lie: a weight's gradient. An item is a tile's rows of C. Blocks of K are
/// outermost, each all columns: both matrices come from memory once, and nothing is packed for a C of few columns.</summary>
/// <remarks>For float32 rows and whole panels of columns, since all lanes of a vector are read. The sums are those of the other kernels.</remarks>
internal readonly unsafe struct InPlaceKernel<E>(MatrixView left, MatrixView right, long depthBlock, E epilogue) : ICpuKernel
    where E : unmanaged, IEpilogue
{
    // Sums of so many rows at a time stay in the second cache, beside a block of K.
    private const long SumBytes = 256 << 10;

    private const int Strip = PackedMatrix.StripColumns;

    private readonly MatrixView _left = left;
    private readonly MatrixView _right = right;
    private readonly long _depthBlock = depthBlock;
    private readonly E _epilogue = epilogue;

    public long Items => (_left.Columns + GemmTile.MaxRows - 1) / GemmTile.MaxRows;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        int step = (int)(PackedMatrix.StripsOf(_right.Columns) * Strip);
        long first = begin * GemmTile.MaxRows, last = Math.Min(end * GemmTile.MaxRows, _left.Columns);
        long most = Math.Max(SumBytes / (step * sizeof(float)) / GemmTile.MaxRows, 1) * GemmTile.MaxRows;
        using var lease = Workspace.Rent(Math.Min(most, last - first) * step * sizeof(float));
        for (long row = first; row < last; row += most)
        {
            Rows<S, V>(row, Math.Min(most, last - row), lease.Floats, step);
        }
    }

    private void Rows<S, V>(long row, long rows, float* sums, int step) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long k = 0; k < _left.Rows; k += _depthBlock)
        {
            long depth = Math.Min(_depthBlock, _left.Rows - k), next = k + depth;
            bool more = next < _left.Rows;
            int perTile = (int)(((depth * GemmTile.MaxRows) + rows - 1) / rows);
            var ahead = more ? new LinesAhead((byte*)_left.InPlace(next, row), null, _left.RowStride * sizeof(float), (int)rows * sizeof(float), perTile) : default;
            var a = new LeftBlock(_left.InPlace(k, row), 1, _left.RowStride);
            for (long c = 0; c < _right.Columns; c += Strip)
            {
                var b = new RightBlock(_right.InPlace(k, c), PackedMatrix.PanelColumns, (nint)_right.RowStride);
                GemmTiles.Run<S, V>(a, rows, b, depth, ColumnsFrom(c), sums + c, step, add: k > 0, more ? _right.InPlace(next, c) : null, c == 0 ? ahead : default);
            }
        }
        for (long r = 0; r < rows; r++)
        {
            for (long c = 0; c < _right.Columns; c += Strip)
            {
                _epilogue.Row<S, V>(sums + (r * step) + c, row + r, c, ColumnsFrom(c));
            }
        }
    }

    private int ColumnsFrom(long c) => (int)Math.Min(Strip, _right.Columns - c);
}
