namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The product over a range of items, (block of rows, output strip), rows changing slowest.</summary>
internal readonly unsafe struct GemmKernel<A, E> : ICpuKernel
    where A : unmanaged, ILeftOperand
    where E : unmanaged, IEpilogue
{
    private readonly A _left;
    private readonly long _rows;
    private readonly PackedMatrix _right;
    private readonly long _firstColumn;
    private readonly long _columns;
    private readonly E _epilogue;
    private readonly long _blockRows;
    private readonly long _strips;

    public GemmKernel(A left, long rows, PackedMatrix right, long firstColumn, long columns, E epilogue)
    {
        _left = left;
        _rows = rows;
        _right = right;
        _firstColumn = firstColumn;
        _columns = columns;
        _epilogue = epilogue;
        _blockRows = Gemm.BlockRows(rows, right.Depth);
        _strips = PackedMatrix.StripsOf(columns);
    }

    public long Items => _rows == 0 ? 0 : (_rows + _blockRows - 1) / _blockRows * _strips;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        int sumColumns = E.Strips * PackedMatrix.StripColumns;
        using var scratch = Workspace.Rent(_left.ScratchFloats(_blockRows, _right.Depth) * sizeof(float));
        using var lease = Workspace.Rent(_blockRows * sumColumns * sizeof(float));
        LeftBlock block = default;
        long loaded = -1;
        for (long item = begin; item < end; item++)
        {
            var (index, strip) = Math.DivRem(item, _strips);
            long row = index * _blockRows;
            long rows = Math.Min(_blockRows, _rows - row);
            if (index != loaded)
            {
                block = _left.Block<S, V>(row, rows, _right.Depth, scratch.Floats);
                loaded = index;
            }
            long column = strip * PackedMatrix.StripColumns;
            int columns = (int)Math.Min(PackedMatrix.StripColumns, _columns - column);
            for (int s = 0; s < E.Strips; s++)
            {
                Multiply<S, V>(block, rows, _right.Strip((strip * E.Strips) + s), columns, lease.Floats + (s * PackedMatrix.StripColumns), sumColumns);
            }
            for (long r = 0; r < rows; r++)
            {
                _epilogue.Row<S, V>(lease.Floats + (r * sumColumns), row + r, _firstColumn + column, columns);
            }
        }
    }

    private void Multiply<S, V>(LeftBlock a, long rows, float* strip, int columns, float* sums, int sumStep) where S : struct, ISimd<V> where V : unmanaged
    {
        if (_right.Depth == 0)
        {
            for (long r = 0; r < rows; r++)
            {
                new Span<float>(sums + (r * sumStep), columns).Clear();
            }
        }
        for (long k = 0; k < _right.Depth; k += Gemm.DepthBlock)
        {
            long depth = Math.Min(Gemm.DepthBlock, _right.Depth - k);
            var block = new LeftBlock(a.Data + (k * a.KStride), a.RowStride, a.KStride);
            var b = strip + (k * PackedMatrix.PanelColumns);
            GemmColumns.Run<S, V>(block, rows, b, _right.Depth, depth, columns, sums, sumStep, add: k > 0);
        }
    }
}
