namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Matrix products C = A·B in float32 arithmetic, with fused epilogues.</summary>
/// <remarks>
/// Work items are (block of rows, strip of 64 columns). Sums over K are made in blocks of <see cref="DepthBlock"/>, each in
/// registers and then added in order, so the result does not depend on the number of threads.
/// </remarks>
internal static unsafe class Gemm
{
    /// <summary>Products summed in registers at a time: a block of B's strip (64 KB) stays in the second cache while
    /// the rows pass, and a sum of this length loses less than a long one.</summary>
    public static int DepthBlock = 256;

    public static int MaxBlockRows = 96;

    /// <summary>Rows of A per item: what fits half of the second-level cache beside B's strip.</summary>
    public static long BlockRows(long rows, long depth)
    {
        long fit = Math.Clamp(512 * 1024 / sizeof(float) / Math.Max(depth, 1), GemmTile.MaxRows, MaxBlockRows);
        long blocks = Math.Max(1, (rows + fit - 1) / fit);
        long tiles = (rows + GemmTile.MaxRows - 1) / GemmTile.MaxRows;
        return (tiles + blocks - 1) / blocks * GemmTile.MaxRows;
    }

    /// <summary>Packed B of at most this size is made at a time when the caller brings none: it stays in the third cache.</summary>
    private const long PackBytes = 8 << 20;

    /// <summary>C = A·B with B packed before.</summary>
    public static void Run<A, E>(A left, long rows, PackedMatrix right, E epilogue)
        where A : unmanaged, ILeftOperand
        where E : unmanaged, IEpilogue => Run(left, rows, right, 0, right.Columns / E.Strips, epilogue);

    /// <summary>C = A·x or, transposed, A·xᵀ; B is packed here, a cache-sized group of columns at a time.</summary>
    public static void Run<A, E>(A left, long rows, MatrixView x, bool transposed, E epilogue)
        where A : unmanaged, ILeftOperand
        where E : unmanaged, IEpilogue
    {
        long depth = transposed ? x.Columns : x.Rows;
        long columns = transposed ? x.Rows : x.Columns;
        long perStrip = PackedMatrix.FloatsOf(depth, 1) * sizeof(float);
        long groupColumns = Math.Clamp(PackBytes / Math.Max(perStrip, 1), 1, PackedMatrix.StripsOf(columns)) * PackedMatrix.StripColumns;
        using var lease = Workspace.Rent(groupColumns / PackedMatrix.StripColumns * perStrip);
        for (long first = 0; first < columns; first += groupColumns)
        {
            var group = new PackedMatrix(lease.Floats, depth, Math.Min(groupColumns, columns - first));
            CpuBackend.Run(new PackKernel(x, transposed, first, group), group.Strips, 1);
            Run(left, rows, group, first, group.Columns, epilogue);
        }
    }

    private static void Run<A, E>(A left, long rows, PackedMatrix right, long firstColumn, long columns, E epilogue)
        where A : unmanaged, ILeftOperand
        where E : unmanaged, IEpilogue
    {
        var kernel = new GemmKernel<A, E>(left, rows, right, firstColumn, columns, epilogue);
        CpuBackend.Run(kernel, kernel.Items, 1);
    }
}
