using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>One launch of a product A·B: a block of A's rows, a group of B's columns.</summary>
internal struct ProductScalars
{
    public long FirstRow;
    public long Rows;
    public long FirstColumn;
    public long Columns;
    public long Depth;

    /// <summary>So many products are summed by themselves, then added: as on the CPU, short chains lose less.</summary>
    public long DepthOfBlock;

    /// <summary>Tiles that cover the rows.</summary>
    public long RowTiles;

    /// <summary>1, or 2 for a pair (gate and up) whose strips of 64 columns alternate.</summary>
    public int Matrices;
}

/// <summary>The product of packed matrices: left panels [tile][K][rows of a tile], right panels as
/// <see cref="Cpu.Gemm.PackedMatrix"/> has them, both float32. Kernels begin with it and do with the sums what they are for.</summary>
/// <remarks>Tiles of the same columns follow each other, so that work-items that run together read the same right panels. A group
/// of a GPU shares nothing but these reads: barriers would bring local memory's speed, and take PoCL ten seconds to compile.</remarks>
internal static class ProductPortable<R> where R : unmanaged, IRowTile<R>
{
    /// <summary>Columns of a tile: of one matrix, or half of them of each.</summary>
    public static long Columns(ProductScalars s) => s.Matrices == 2 ? Vector16.Width : RowTile.Columns;

    /// <summary>Tiles of the launch.</summary>
    public static long Tiles(ProductScalars s) => s.RowTiles * ((s.Columns + Columns(s) - 1) / Columns(s));

    /// <summary>First row of a tile, counted from the launch's first.</summary>
    public static long Row(ProductScalars s, long tile) => tile % s.RowTiles * R.Count;

    /// <summary>First column of a tile, counted from the launch's first; past the last one for work-items without a tile.</summary>
    public static long Column(ProductScalars s, long tile) => tile / s.RowTiles * Columns(s);

    /// <summary>A tile's sums.</summary>
    public static R Sum(ArrayView<float> a, ArrayView<Vector16> b, ProductScalars s, long tile)
    {
        long panel = Column(s, tile) / Vector16.Width;
        long x = Panel.Place(panel, s.Matrices, 0) * s.Depth;
        long y = (s.Matrices == 2 ? Panel.Place(panel, 2, 1) : panel + 1) * s.Depth;
        long at = Row(s, tile) * s.Depth;
        var total = R.Zero;
        for (long from = 0; from < s.Depth; from += s.DepthOfBlock)
        {
            var sum = R.Zero;
            long stop = Math.Min(s.Depth, from + s.DepthOfBlock);
            for (long k = from; k < stop; k++)
            {
                sum = R.Fma(a, at + (k * R.Count), 1, new(b[x + k], b[y + k]), sum);
            }
            total = R.Add(total, sum);
        }
        return total;
    }
}
