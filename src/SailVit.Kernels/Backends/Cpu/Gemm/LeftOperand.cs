using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Rows of A as the product reads them, tile by tile: element (i, k) of a tile lies at Data[i·RowStride + k·KStride].</summary>
internal readonly unsafe struct LeftBlock(float* data, long rowStride, long kStride, long tileStride)
{
    /// <summary>All rows at one distance.</summary>
    public LeftBlock(float* data, long rowStride, long kStride) : this(data, rowStride, kStride, GemmTile.MaxRows * rowStride)
    {
    }

    public readonly float* Data = data;
    public readonly long RowStride = rowStride;
    public readonly long KStride = kStride;
    public readonly long TileStride = tileStride;

    /// <summary>The same rows from another k on.</summary>
    public LeftBlock From(long k) => new(Data + (k * KStride), RowStride, KStride, TileStride);
}

/// <summary>The left matrix of a product, [M, K], given block by block: from memory as it is, converted, transposed, or
/// gathered (image patches).</summary>
internal unsafe interface ILeftOperand
{
    /// <summary>Floats of scratch that a block needs; 0 when blocks are read in place.</summary>
    long ScratchFloats(long rows, long depth);

    /// <summary>Rows [row, row + rows), all of K, as float32.</summary>
    LeftBlock Block<S, V>(long row, long rows, long depth, float* scratch) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>A = x: rows in place where they are float32, otherwise converted.</summary>
internal readonly unsafe struct LeftRows(MatrixView x) : ILeftOperand
{
    private readonly MatrixView _x = x;

    public long ScratchFloats(long rows, long depth) => _x.IsFloat32Rows ? 0 : rows * depth;

    public LeftBlock Block<S, V>(long row, long rows, long depth, float* scratch) where S : struct, ISimd<V> where V : unmanaged
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

/// <summary>A = xᵀ: columns of x, copied into tiles, each k by k. Never read in place: a power-of-two distance between the
/// k would put them all into one cache set.</summary>
internal readonly unsafe struct LeftColumns(MatrixView x) : ILeftOperand
{
    // Rows of x that are read before tiles are written: one k at a time, writes would jump from tile to tile, and tiles
    // of a power-of-two size fall into one cache set.
    private const long ReadAhead = 16;

    private readonly MatrixView _x = x;

    public long ScratchFloats(long rows, long depth) => Padded(rows) * (depth + ReadAhead);

    public LeftBlock Block<S, V>(long row, long rows, long depth, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        const int Tile = GemmTile.MaxRows;
        long padded = Padded(rows);
        var columns = scratch + (padded * depth);
        for (long first = 0; first < depth; first += ReadAhead)
        {
            long count = Math.Min(ReadAhead, depth - first);
            for (long k = 0; k < count; k++)
            {
                _x.CopyRow<S, V>(first + k, row, rows, columns + (k * padded));
            }
            for (long i = 0; i < padded; i += Tile)
            {
                var tile = scratch + (i * depth) + (first * Tile);
                for (long k = 0; k < count; k++)
                {
                    Unsafe.CopyBlockUnaligned(tile + (k * Tile), columns + (k * padded) + i, Tile * sizeof(float));
                }
            }
        }
        return new(scratch, 1, Tile, Tile * depth);
    }

    // Rows beyond the last one are copied too and never read.
    private static long Padded(long rows) => (rows + GemmTile.MaxRows - 1) / GemmTile.MaxRows * GemmTile.MaxRows;
}
