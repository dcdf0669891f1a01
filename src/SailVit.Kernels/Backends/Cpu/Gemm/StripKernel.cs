namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>The product with a B that nobody packed, over a range of items, (strip of the output, block of rows), strips changing
/// slowest: a thread packs a strip when it comes to it, and reads it from its own cache for all rows.</summary>
/// <remarks>For an A that is read in place and stays in the third cache, since every strip goes through all of it.</remarks>
internal readonly unsafe struct StripKernel<A, B, E>(A left, long rows, B right, long depthBlock, E epilogue) : ICpuKernel
    where A : unmanaged, ILeftOperand
    where B : unmanaged, IRightOperand
    where E : unmanaged, IEpilogue
{
    private readonly A _left = left;
    private readonly long _rows = rows;
    private readonly B _right = right;
    private readonly long _depthBlock = depthBlock;
    private readonly E _epilogue = epilogue;
    private readonly long _blockRows = Gemm.BlockRows(rows, right.Depth, PackedMatrix.StripsOf(right.Columns));

    public long Items => Blocks * PackedMatrix.StripsOf(_right.Columns);

    private long Blocks => (_rows + _blockRows - 1) / _blockRows;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        using var scratch = Workspace.Rent(PackedMatrix.FloatsOf(_right.Depth, 1, _right.Matrices) * sizeof(float));
        using var lease = Workspace.Rent(_blockRows * _right.Matrices * PackedMatrix.StripColumns * sizeof(float));
        PackedMatrix packed = default;
        long loaded = -1;
        for (long item = begin; item < end; item++)
        {
            var (strip, index) = Math.DivRem(item, Blocks);
            long column = strip * PackedMatrix.StripColumns;
            if (strip != loaded)
            {
                packed = new(scratch.Floats, _right.Depth, Math.Min(PackedMatrix.StripColumns, _right.Columns - column), _right.Matrices);
                _right.Pack<S, V>(column, packed, 0, _right.Matrices);
                loaded = strip;
            }
            long row = index * _blockRows, rows = Math.Min(_blockRows, _rows - row);
            var block = _left.Block<S, V>(row, rows, _right.Depth, _depthBlock, null);
            GemmTiles.Strip<S, V, E>(block, row, rows, packed, 0, column, _depthBlock, lease.Floats, _epilogue);
        }
    }
}
