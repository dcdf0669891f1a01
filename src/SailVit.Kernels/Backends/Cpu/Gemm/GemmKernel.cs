namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The product over a range of items, (block of rows, strip of the output), rows changing slowest.</summary>
internal readonly unsafe struct GemmKernel<A, E>(A left, long rows, PackedMatrix right, long firstColumn, long depthBlock, E epilogue) : ICpuKernel
    where A : unmanaged, ILeftOperand
    where E : unmanaged, IEpilogue
{
    private readonly A _left = left;
    private readonly long _rows = rows;
    private readonly PackedMatrix _right = right;
    private readonly long _firstColumn = firstColumn;
    private readonly long _depthBlock = depthBlock;
    private readonly E _epilogue = epilogue;
    private readonly long _blockRows = Gemm.BlockRows(rows, right.Depth);
    private readonly long _strips = PackedMatrix.StripsOf(right.Columns);

    public long Items => (_rows + _blockRows - 1) / _blockRows * _strips;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        int sumStep = _right.Matrices * PackedMatrix.StripColumns;
        using var scratch = Workspace.Rent(_left.ScratchFloats(_blockRows, _right.Depth, _depthBlock) * sizeof(float));
        using var lease = Workspace.Rent(_blockRows * sumStep * sizeof(float));
        var sums = lease.Floats;
        LeftBlock block = default;
        long loaded = -1;
        for (long item = begin; item < end; item++)
        {
            var (index, strip) = Math.DivRem(item, _strips);
            long row = index * _blockRows;
            long rows = Math.Min(_blockRows, _rows - row);
            if (index != loaded)
            {
                block = _left.Block<S, V>(row, rows, _right.Depth, _depthBlock, scratch.Floats);
                loaded = index;
            }
            long column = strip * PackedMatrix.StripColumns;
            int columns = (int)Math.Min(PackedMatrix.StripColumns, _right.Columns - column);
            for (int m = 0; m < _right.Matrices; m++)
            {
                Multiply<S, V>(block, rows, (strip * _right.Matrices) + m, columns, sums + (m * PackedMatrix.StripColumns), sumStep);
            }
            for (long r = 0; r < rows; r++)
            {
                _epilogue.Row<S, V>(sums + (r * sumStep), row + r, _firstColumn + column, columns);
            }
        }
    }

    private void Multiply<S, V>(LeftBlock a, long rows, long strip, int columns, float* sums, int sumStep) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long r = 0; _right.Depth == 0 && r < rows; r++)
        {
            new Span<float>(sums + (r * sumStep), columns).Clear();
        }
        var b = _right.Strip(strip);
        var following = _right.Strip((strip + 1) % _right.Strips);
        for (long k = 0; k < _right.Depth; k += _depthBlock)
        {
            long depth = Math.Min(_depthBlock, _right.Depth - k);
            long end = k + depth;
            var next = end < _right.Depth ? b + (end * PackedMatrix.PanelColumns) : following;
            GemmTiles.Run<S, V>(a.From(k), rows, b + (k * PackedMatrix.PanelColumns), _right.Depth, depth, columns, sums, sumStep, add: k > 0, next);
        }
    }
}
