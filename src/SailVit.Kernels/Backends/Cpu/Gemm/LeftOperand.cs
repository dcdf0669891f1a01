using System.Runtime.Intrinsics;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Rows of A as the product reads them, tile by tile: within a block of K, element (i, k) of a tile lies at
/// Data[i·RowStride + k·KStride].</summary>
/// <param name="data">The first element.</param>
/// <param name="rowStride">Floats between the rows of a tile.</param>
/// <param name="kStride">Floats from one k to the next, within a block of K.</param>
/// <param name="tileStride">Floats between tiles.</param>
/// <param name="blockStride">Floats between blocks of K, per k.</param>
internal readonly unsafe struct LeftBlock(float* data, long rowStride, long kStride, long tileStride, long blockStride)
{
    /// <summary>All rows at one distance.</summary>
    public LeftBlock(float* data, long rowStride, long kStride) : this(data, rowStride, kStride, GemmTile.MaxRows * rowStride, kStride)
    {
    }

    // Asked for so many tiles ahead: some 2,000 cycles at a depth of 32.
    private const int TilesAhead = 3;

    public readonly float* Data = data;
    public readonly long RowStride = rowStride;
    public readonly long KStride = kStride;
    public readonly long TileStride = tileStride;
    public readonly long BlockStride = blockStride;

    /// <summary>A block of K of rows that lie as they are, a few tiles before they are read.</summary>
    public LinesAhead Ahead(long depth) => new((byte*)(Data + (TilesAhead * TileStride)), null, RowStride * sizeof(float), (int)depth * sizeof(float));

    /// <summary>The same rows from another k on, where a block of K begins.</summary>
    public LeftBlock From(long k) => new(Data + (k * BlockStride), RowStride, KStride, TileStride, BlockStride);
}

/// <summary>The left matrix of a product, [M, K], given block by block: from memory as it is, converted, transposed, or
/// gathered (image patches).</summary>
internal unsafe interface ILeftOperand
{
    /// <summary>Whether blocks are read where they lie, without scratch.</summary>
    bool IsInPlace { get; }

    /// <summary>Floats of scratch that a block needs; 0 when blocks are read in place. The product reads K in blocks of depthBlock.</summary>
    long ScratchFloats(long rows, long depth, long depthBlock);

    /// <summary>Rows [row, row + rows), all of K, as float32.</summary>
    LeftBlock Block<S, V>(long row, long rows, long depth, long depthBlock, float* scratch) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>A = x: rows in place where they are float32, otherwise converted.</summary>
internal readonly unsafe struct LeftRows(MatrixView x) : ILeftOperand
{
    private readonly MatrixView _x = x;

    public bool IsInPlace => _x.IsFloat32Rows;

    public long ScratchFloats(long rows, long depth, long depthBlock) => _x.IsFloat32Rows ? 0 : rows * depth;

    public LeftBlock Block<S, V>(long row, long rows, long depth, long depthBlock, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        if (_x.IsFloat32Rows)
        {
            return new((float*)_x.At(row, 0), _x.RowStride, 1);
        }
        for (long r = 0; r < rows; r++)
        {
            _x.CopyRow<S, V>(row + r, 0, depth, scratch + (r * depth));
        }
        return new(scratch, depth, 1);
    }
}

/// <summary>A = xᵀ: columns of x, a matrix or an image's patches, copied block of K by block, each into tiles, each k by k, all in
/// the order in which the product reads them: for what <see cref="InPlaceKernel{E}"/> does not read in place.</summary>
internal readonly unsafe struct LeftColumns<X>(X x) : ILeftOperand where X : unmanaged, IRowSource
{
    private readonly X _x = x;

    public bool IsInPlace => false;

    public long ScratchFloats(long rows, long depth, long depthBlock) =>
        (Padded(rows) * (((depth + depthBlock - 1) / depthBlock) + 1) * depthBlock) + IRowSource.Slack;

    public LeftBlock Block<S, V>(long row, long rows, long depth, long depthBlock, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        long padded = Padded(rows), tileFloats = GemmTile.MaxRows * depthBlock;
        for (long first = 0; first < depth; first += depthBlock)
        {
            long count = Math.Min(depthBlock, depth - first);
            var tiles = scratch + (first * padded);
            var columns = scratch + (padded * ((depth + depthBlock - 1) / depthBlock) * depthBlock);
            for (long k = 0; k < count; k++)
            {
                _x.CopyRow<S, V>(first + k, row, rows, columns + (k * padded));
            }
            for (long i = 0; i < padded; i += GemmTile.MaxRows, tiles += tileFloats)
            {
                Gather(columns + i, padded, count, tiles);
            }
        }
        return new(scratch, 1, GemmTile.MaxRows, tileFloats, padded);
    }

    // Six floats as four and two: a call to copy 24 bytes would take longer than the copy.
    private static void Gather(float* from, long step, long count, float* tile)
    {
        for (long k = 0; k < count; k++, from += step, tile += GemmTile.MaxRows)
        {
            Vector128.Store(Vector128.Load(from), tile);
            *(long*)(tile + Vector128<float>.Count) = *(long*)(from + Vector128<float>.Count);
        }
    }

    // Rows beyond the last one are copied too and never read.
    private static long Padded(long rows) => (rows + GemmTile.MaxRows - 1) / GemmTile.MaxRows * GemmTile.MaxRows;
}
