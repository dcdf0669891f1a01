using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Backends.Portable;
using FourRows = SailVit.Kernels.Backends.Portable.Stack<
    SailVit.Kernels.Backends.Portable.Stack<SailVit.Kernels.Backends.Portable.Row, SailVit.Kernels.Backends.Portable.Row>,
    SailVit.Kernels.Backends.Portable.Stack<SailVit.Kernels.Backends.Portable.Row, SailVit.Kernels.Backends.Portable.Row>>;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>What is done with a product: one launch of a kernel that begins with <see cref="ProductPortable{R}"/>.</summary>
internal interface IProductCall
{
    void Launch<R, L>(HostArray left, HostArray right, ProductScalars scalars) where R : unmanaged, ITile<R> where L : unmanaged, ILanes;
}

/// <summary>Products of matrices on the OpenCL device in use: operands are packed as float32 panels, block by block of rows and group by
/// group of columns, so that scratch memory stays small.</summary>
/// <remarks>The order of sums is the CPU's, and depends on the shape only.</remarks>
internal static unsafe class OpenClProduct
{
    // Rows of A that are packed at a time, and columns of B; a block passes once over the group.
    private const long LeftBytes = 32 << 20, RightBytes = 64 << 20;

    /// <summary>A·B.</summary>
    public static void Run<A, B, C>(A left, B right, C call) where A : IPanelSource where B : IPanelSource where C : IProductCall => Run(left, [right], call);

    /// <summary>The products with two matrices of one shape, together.</summary>
    public static void RunPair<A, B, C>(A left, B first, B second, C call) where A : IPanelSource where B : IPanelSource where C : IProductCall => Run(left, [first, second], call);

    /// <summary>A·B with B packed before.</summary>
    public static void Run<A, C>(A left, PackedMatrix right, C call) where A : IPanelSource where C : IProductCall
    {
        if (left.Lines == 0 || right.Columns == 0)
        {
            return;
        }
        if (OpenClRows.UsesManyLanes)
        {
            On<FourRows, ManyLanes>.Run(left, right, 0, right.Columns, call);
        }
        else
        {
            On<Stack<FourRows, Stack<Row, Row>>, OneLane>.Run(left, right, 0, right.Columns, call);
        }
    }

    /// <summary>Runs a kernel with a work-item per tile.</summary>
    public static void Launch<R, L, S>(PortableKernel kernel, ProductScalars product, ReadOnlySpan<HostArray> arrays, in S scalars)
        where R : unmanaged, ITile<R>
        where L : unmanaged, ILanes
        where S : unmanaged => LaunchItems<L, S>(kernel, ProductPortable<R>.Tiles(product), arrays, scalars);

    /// <summary>Runs a kernel with that many work-items, in groups of as many as there are lanes.</summary>
    public static void LaunchItems<L, S>(PortableKernel kernel, long items, ReadOnlySpan<HostArray> arrays, in S scalars)
        where L : unmanaged, ILanes
        where S : unmanaged => OpenClQueue.Of(OpenClDevices.Current).Run(kernel, (items + L.Count - 1) / L.Count, arrays, scalars);

    private static void Run<A, B, C>(A left, ReadOnlySpan<B> right, C call) where A : IPanelSource where B : IPanelSource where C : IProductCall
    {
        if (left.Lines == 0 || right[0].Lines == 0)
        {
            return;
        }
        if (OpenClRows.UsesManyLanes)
        {
            On<FourRows, ManyLanes>.Run(left, right, call);
        }
        else
        {
            On<Stack<FourRows, Stack<Row, Row>>, OneLane>.Run(left, right, call);
        }
    }

    private static class On<R, L> where R : unmanaged, ITile<R> where L : unmanaged, ILanes
    {
        public static void Run<A, B, C>(A left, ReadOnlySpan<B> right, C call) where A : IPanelSource where B : IPanelSource where C : IProductCall
        {
            long all = right[0].Lines, stripBytes = PackedMatrix.FloatsOf(left.Depth, 1, right.Length) * sizeof(float);
            long columns = Math.Clamp(RightBytes / Math.Max(stripBytes, 1), 1, PackedMatrix.StripsOf(all)) * PackedMatrix.StripColumns;
            long bytes = PackedMatrix.FloatsOf(left.Depth, columns, right.Length) * sizeof(float);
            using var lease = Workspace.Rent(bytes);
            using var buffer = DeviceMemory.AddScratch(lease.Floats, bytes);
            for (long first = 0; first < all; first += columns)
            {
                long count = Math.Min(columns, all - first);
                for (int i = 0; i < right.Length && left.Depth > 0; i++)
                {
                    right[i].Pack<RightPanel, L>(new(first, count, (nint)lease.Floats, right.Length, i));
                }
                Run(left, new(lease.Floats, left.Depth, count, right.Length), first, all, call);
            }
        }

        public static void Run<A, C>(A left, PackedMatrix right, long firstColumn, long allColumns, C call) where A : IPanelSource where C : IProductCall
        {
            long tileBytes = R.Width * Math.Max(left.Depth, 1) * sizeof(float), tiles = (left.Lines + R.Width - 1) / R.Width;
            long block = Math.Clamp(LeftBytes / tileBytes, 1, tiles) * R.Width;
            using var lease = Workspace.Rent(block / R.Width * tileBytes);
            using var buffer = DeviceMemory.AddScratch(lease.Floats, block / R.Width * tileBytes);
            for (long first = 0; first < left.Lines; first += block)
            {
                long rows = Math.Min(block, left.Lines - first);
                if (left.Depth > 0)
                {
                    left.Pack<R, L>(new(first, rows, (nint)lease.Floats));
                }
                var scalars = new ProductScalars
                {
                    FirstRow = first,
                    Rows = rows,
                    FirstColumn = firstColumn,
                    Columns = right.Columns,
                    Depth = left.Depth,
                    DepthOfBlock = Gemm.DepthBlock(allColumns, left.Depth),
                    RowTiles = (rows + R.Width - 1) / R.Width,
                    Matrices = right.Matrices,
                };
                call.Launch<R, L>(
                    HostArray.Read(lease.Floats, scalars.RowTiles * R.Width * left.Depth, sizeof(float)),
                    HostArray.Read(right.Data, right.Strips * PackedMatrix.StripColumns * left.Depth / Vector16.Width, Vector16.Width * sizeof(float)),
                    scalars);
            }
        }
    }
}
