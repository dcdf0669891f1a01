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
    private readonly long _strips = PackedMatrix.StripsOf(right.Columns);

    // Blocks that must be copied are not made smaller: that is done once per thread and block.
    private readonly long _blockRows = left.IsInPlace ? Gemm.BlockRows(rows, right) : Gemm.BlockRows(rows, right.Depth);

    public long Items => (_rows + _blockRows - 1) / _blockRows * _strips;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        using var scratch = Workspace.Rent(_left.ScratchFloats(_blockRows, _right.Depth, _depthBlock) * sizeof(float));
        using var lease = Workspace.Rent(_blockRows * _right.Matrices * PackedMatrix.StripColumns * sizeof(float));
        LeftBlock block = default;
        long loaded = -1;
        for (long item = begin; item < end; item++)
        {
            var (index, strip) = Math.DivRem(item, _strips);
            long row = index * _blockRows;
            long rows = Math.Min(_blockRows, _rows - row);
            bool fresh = index != loaded;
            if (fresh)
            {
                block = _left.Block<S, V>(row, rows, _right.Depth, _depthBlock, scratch.Floats);
                loaded = index;
            }
            GemmTiles.Strip<S, V, E>(block, row, rows, _right, strip, _firstColumn, _depthBlock, lease.Floats, _epilogue, fresh && _left.IsInPlace);
        }
    }
}
