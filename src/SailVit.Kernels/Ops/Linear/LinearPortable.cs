using ILGPU;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>Where the operands of a linear layer lie. Strides are in elements; flags are 0 or 1.</summary>
internal struct LinearScalars
{
    public ProductScalars Product;

    /// <summary>Columns of the whole output.</summary>
    public long Columns;

    /// <summary>Rows of one item of the batch. Items of the output may have gaps between them; the residual's are one and the same.</summary>
    public long RowsOfItem;
    public long OutputItemStride;
    public long ResidualStride;
    public int HasBias;
    public int HasUpBias;
    public int HasResidual;
    public int Keeps;
}

/// <summary>y = F(sums + bias) + residual on a device, and sums + bias where a backward pass will want them: a work-item per tile.</summary>
internal static class LinearPortable<T, F, R, L>
    where T : unmanaged, IPortableElement<T>
    where F : unmanaged, ISimdActivation
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Width = RowTile.Columns;

    /// <summary>One per dtype, activation, tile and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <summary>Bias [columns] is float32; what is absent is empty.</summary>
    private static void Run(ArrayView<float> a, ArrayView<Vector16> b, ArrayView<float> bias, ArrayView<T> residual, ArrayView<T> before, ArrayView<T> y, LinearScalars s)
    {
        long tile = (Grid.IdxX * (long)L.Count) + Group.IdxX;
        long column = ProductPortable<R>.Column(s.Product, tile), rest = s.Product.Columns - column;
        if (rest <= 0)
        {
            return;
        }
        var values = LocalMemory.Allocate<float>(RowTile.Columns * R.Count);
        R.Store(values, 0, RowTile.Columns, ProductPortable<R>.Sum(a, b, s.Product, tile));
        long first = ProductPortable<R>.Row(s.Product, tile);
        int rows = (int)Math.Min(R.Count, s.Product.Rows - first);
        for (int r = 0; r < rows; r++)
        {
            // A whole row has a constant length, for which compilers make vectors.
            if (rest >= Width)
            {
                Finish(values, r * Width, Width, bias, residual, before, y, s.Product.FirstRow + first + r, s.Product.FirstColumn + column, s);
            }
            else
            {
                Finish(values, r * Width, (int)rest, bias, residual, before, y, s.Product.FirstRow + first + r, s.Product.FirstColumn + column, s);
            }
        }
    }

    // Step after step in the tile's own memory, so that no load has to wait for a store that might be to its place.
    private static void Finish(
        ArrayView<float> values, int at, int count, ArrayView<float> bias, ArrayView<T> residual, ArrayView<T> before, ArrayView<T> y, long row, long column, LinearScalars s)
    {
        if (s.HasBias != 0)
        {
            for (int i = 0; i < count; i++)
            {
                values[at + i] += bias[column + i];
            }
        }
        if (s.Keeps != 0)
        {
            for (int i = 0; i < count; i++)
            {
                before[(row * s.Columns) + column + i] = T.Write(values[at + i]);
            }
        }
        for (int i = 0; i < count; i++)
        {
            values[at + i] = F.Value<PortableSimd, float>(values[at + i]);
        }
        long item = row / s.RowsOfItem, inside = row % s.RowsOfItem;
        if (s.HasResidual != 0)
        {
            long from = (inside * s.ResidualStride) + column;
            for (int i = 0; i < count; i++)
            {
                values[at + i] += T.Read(residual[from + i]);
            }
        }
        long to = (item * s.OutputItemStride) + (inside * s.Columns) + column;
        for (int i = 0; i < count; i++)
        {
            y[to + i] = T.Write(values[at + i]);
        }
    }
}

/// <summary>y = silu(gate + gate bias)·(up + up bias) on a device, and both factors where a backward pass will want them: a
/// work-item per tile, which has as many columns of each.</summary>
internal static class LinearSwiGluPortable<T, R, L>
    where T : unmanaged, IPortableElement<T>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Width = Vector16.Width;

    /// <summary>One per dtype, tile and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(
        ArrayView<float> a, ArrayView<Vector16> b, ArrayView<float> gateBias, ArrayView<float> upBias, ArrayView<T> gate, ArrayView<T> up, ArrayView<T> y, LinearScalars s)
    {
        long tile = (Grid.IdxX * (long)L.Count) + Group.IdxX;
        long column = ProductPortable<R>.Column(s.Product, tile), rest = s.Product.Columns - column;
        if (rest <= 0)
        {
            return;
        }
        var values = LocalMemory.Allocate<float>(RowTile.Columns * R.Count);
        R.Store(values, 0, RowTile.Columns, ProductPortable<R>.Sum(a, b, s.Product, tile));
        long first = ProductPortable<R>.Row(s.Product, tile);
        int rows = (int)Math.Min(R.Count, s.Product.Rows - first);
        for (int r = 0; r < rows; r++)
        {
            long at = ((s.Product.FirstRow + first + r) * s.Columns) + s.Product.FirstColumn + column;
            if (rest >= Width)
            {
                Finish(values, 2 * r * Width, Width, gateBias, upBias, gate, up, y, at, s.Product.FirstColumn + column, s);
            }
            else
            {
                Finish(values, 2 * r * Width, (int)rest, gateBias, upBias, gate, up, y, at, s.Product.FirstColumn + column, s);
            }
        }
    }

    private static void Finish(
        ArrayView<float> values, int g, int count, ArrayView<float> gateBias, ArrayView<float> upBias, ArrayView<T> gate, ArrayView<T> up, ArrayView<T> y, long to, long column, LinearScalars s)
    {
        int u = g + Width;
        if (s.HasBias != 0)
        {
            for (int i = 0; i < count; i++)
            {
                values[g + i] += gateBias[column + i];
            }
        }
        if (s.HasUpBias != 0)
        {
            for (int i = 0; i < count; i++)
            {
                values[u + i] += upBias[column + i];
            }
        }
        if (s.Keeps != 0)
        {
            for (int i = 0; i < count; i++)
            {
                gate[to + i] = T.Write(values[g + i]);
            }
            for (int i = 0; i < count; i++)
            {
                up[to + i] = T.Write(values[u + i]);
            }
        }
        for (int i = 0; i < count; i++)
        {
            y[to + i] = T.Write(Silu.Value<PortableSimd, float>(values[g + i]) * values[u + i]);
        }
    }
}
