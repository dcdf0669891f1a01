using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Backends.Portable;
using TwoRows = SailVit.Kernels.Backends.Portable.RowPair<SailVit.Kernels.Backends.Portable.RowTile>;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>What is done with a product: one launch of a kernel that begins with <see cref="ProductPortable{R}"/>.</summary>
internal interface IProductCall
{
    void Launch<R, L>(HostArray left, HostArray right, ProductScalars scalars) where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes;
}

/// <summary>Products of matrices on the OpenCL device in use: operands are packed as float32 panels, block by block of rows and group by
/// group of columns, so that scratch memory stays small.</summary>
/// <remarks>The order of sums is the CPU's, and depends on the shape only.</remarks>
internal static unsafe class OpenClProduct
{
    // Rows of A that are packed at a time, and columns of B; a block passes once over the group.
    private const long LeftBytes = 32 << 20, RightBytes = 64 << 20;

    [ThreadStatic]
    private static int? _vectorWidth;

    /// <summary>A·B.</summary>
    public static void Run<A, B, C>(A left, B right, C call) where A : IPanelSource where B : IPanelSource where C : IProductCall =>
        ForTile(new OfSources<A, B, C>(left, right, right, 1, call));

    /// <summary>The products with two matrices of one shape, together.</summary>
    public static void RunPair<A, B, C>(A left, B first, B second, C call) where A : IPanelSource where B : IPanelSource where C : IProductCall =>
        ForTile(new OfSources<A, B, C>(left, first, second, 2, call));

    /// <summary>A·B with B packed before.</summary>
    public static void Run<A, C>(A left, PackedMatrix right, C call) where A : IPanelSource where C : IProductCall => ForTile(new OfPacked<A, C>(left, right, call));

    /// <summary>Runs a kernel with a work-item per tile.</summary>
    public static void Launch<R, L, S>(PortableKernel kernel, ProductScalars product, ReadOnlySpan<HostArray> arrays, in S scalars)
        where R : unmanaged, IRowTile<R>
        where L : unmanaged, ILanes
        where S : unmanaged => LaunchItems<L, S>(kernel, ProductPortable<R>.Tiles(product), arrays, scalars);

    /// <summary>Runs a kernel with that many work-items, in groups of as many as there are lanes.</summary>
    public static void LaunchItems<L, S>(PortableKernel kernel, long items, ReadOnlySpan<HostArray> arrays, in S scalars)
        where L : unmanaged, ILanes
        where S : unmanaged => OpenClQueue.Of(OpenClDevices.Current).Run(kernel, (items + L.Count - 1) / L.Count, arrays, scalars);

    /// <summary>Takes processors for ones whose vectors hold that many floats until the result is disposed: for tests of each tile.</summary>
    internal static IDisposable ForceVectorWidth(int floats)
    {
        var scope = new Scope(_vectorWidth);
        _vectorWidth = floats;
        return scope;
    }

    // As many sums as registers hold beside what they are made of: 32 of 16 floats, or on other processors 16 of 8.
    private static void ForTile<Q>(Q run) where Q : struct, ITileCall
    {
        if (OpenClRows.UsesManyLanes)
        {
            run.Invoke<RowPair<TwoRows>, ManyLanes>();
        }
        else if ((_vectorWidth ?? OpenClDevices.Current.VectorWidth) >= Vector16.Width)
        {
            run.Invoke<RowPair<RowPair<TwoRows>>, OneLane>();
        }
        else
        {
            run.Invoke<TwoRows, OneLane>();
        }
    }

    private interface ITileCall
    {
        void Invoke<R, L>() where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes;
    }

    private readonly struct OfSources<A, B, C>(A left, B first, B second, int matrices, C call) : ITileCall
        where A : IPanelSource
        where B : IPanelSource
        where C : IProductCall
    {
        public void Invoke<R, L>() where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes
        {
            long depth = left.Depth, all = left.Lines == 0 ? 0 : first.Lines, stripBytes = PackedMatrix.FloatsOf(depth, 1, matrices) * sizeof(float);
            long columns = Math.Clamp(RightBytes / Math.Max(stripBytes, 1), 1, Math.Max(PackedMatrix.StripsOf(all), 1)) * PackedMatrix.StripColumns;
            long bytes = PackedMatrix.FloatsOf(depth, columns, matrices) * sizeof(float);
            using var lease = Workspace.Rent(bytes);
            using var buffer = DeviceMemory.AddScratch(lease.Floats, bytes);
            for (long from = 0; from < all; from += columns)
            {
                long count = Math.Min(columns, all - from);
                for (int i = 0; i < matrices && depth > 0; i++)
                {
                    (i == 0 ? first : second).Pack<RightPanel, L>(new(from, count, (nint)lease.Floats, matrices, i));
                }
                Multiply<R, L, A, C>(left, new(lease.Floats, depth, count, matrices), from, all, call);
            }
        }
    }

    private readonly struct OfPacked<A, C>(A left, PackedMatrix right, C call) : ITileCall where A : IPanelSource where C : IProductCall
    {
        public void Invoke<R, L>() where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes
        {
            if (right.Columns > 0)
            {
                Multiply<R, L, A, C>(left, right, 0, right.Columns, call);
            }
        }
    }

    private static void Multiply<R, L, A, C>(A left, PackedMatrix right, long firstColumn, long allColumns, C call)
        where R : unmanaged, IRowTile<R>
        where L : unmanaged, ILanes
        where A : IPanelSource
        where C : IProductCall
    {
        long tileBytes = R.Count * left.Depth * sizeof(float), tiles = (left.Lines + R.Count - 1) / R.Count;
        long block = Math.Clamp(LeftBytes / Math.Max(tileBytes, 1), 1, Math.Max(tiles, 1));
        using var lease = Workspace.Rent(block * tileBytes);
        using var buffer = DeviceMemory.AddScratch(lease.Floats, block * tileBytes);
        for (long first = 0; first < left.Lines; first += block * R.Count)
        {
            long rows = Math.Min(block * R.Count, left.Lines - first);
            if (left.Depth > 0)
            {
                left.Pack<LeftPanel<R>, L>(new(first, rows, (nint)lease.Floats));
            }
            var scalars = new ProductScalars
            {
                FirstRow = first,
                Rows = rows,
                FirstColumn = firstColumn,
                Columns = right.Columns,
                Depth = left.Depth,
                DepthOfBlock = Gemm.DepthBlock(allColumns, left.Depth),
                RowTiles = (rows + R.Count - 1) / R.Count,
                Matrices = right.Matrices,
            };
            call.Launch<R, L>(
                HostArray.Read(lease.Floats, scalars.RowTiles * R.Count * left.Depth, sizeof(float)),
                HostArray.Read(right.Data, right.Strips * PackedMatrix.StripColumns * left.Depth / Vector16.Width, Vector16.Width * sizeof(float)),
                scalars);
        }
    }

    private sealed class Scope(int? previous) : IDisposable
    {
        public void Dispose() => _vectorWidth = previous;
    }
}
