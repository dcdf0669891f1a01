namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The product with a packed B over a range of items, (block of rows, strip of the output), rows changing slowest.</summary>
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
                long at = (strip * _right.Matrices) + m;
                GemmTiles.Run<S, V>(block, rows, _right.Strip(at), _right.Depth, _depthBlock, columns, sums + (m * PackedMatrix.StripColumns), sumStep, _right.Strip((at + 1) % _right.Strips));
            }
            for (long r = 0; r < rows; r++)
            {
                _epilogue.Row<S, V>(sums + (r * sumStep), row + r, _firstColumn + column, columns);
            }
        }
    }
}
