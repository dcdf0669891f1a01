namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Matrix products C = A·B in float32 arithmetic, with fused epilogues.</summary>
/// <remarks>
/// Work items are (block of rows, strip of 64 columns), or a tile's rows where nothing is packed. Sums over K are made in blocks of
/// fixed length, each in registers and then added in order, so the result does not depend on the number of threads.
/// </remarks>
internal static unsafe class Gemm
{
    // Each block of K is summed in registers from zero and then added: short blocks lose less (mean error of K = 1024
    // against one of 256: 0.74), long ones spare additions (1 % at 128).
    private const long DepthOfBlock = 128;

    // Outputs of few columns run at the latency of the sums, not at the rate of the additions; and a short K would
    // be one or two running sums.
    private const long DepthOfShortBlock = 32;
    private const long ShortDepth = 2 * DepthOfBlock;

    // Three blocks of 32 are still long running sums beside so few (seed 826 of the head's loss, K = 69: error 1.3e-7 where 1.1e-7
    // is allowed). Costs 5 to 7 % there.
    private const long DepthOfShortestBlock = 16;
    private const long ShortestDepth = 3 * DepthOfShortBlock;

    // A block of B passes from the third cache once per block of rows: many rows per block, as long as scratch for
    // converted or transposed ones stays small. Measured at K = 2816: 342 rows 430 GFLOP/s,
    // 192 rows 423, 48 rows 384 (Zen 5, 2 cores).
    private const long BlockBytes = 4 << 20;
    private const long MaxBlockRows = 57 * GemmTile.MaxRows;

    // Items per thread below which blocks get smaller, and the smallest.
    private const long FewItems = 16;
    private const long LeastBlockRows = 8 * GemmTile.MaxRows;

    // Of a B that all threads pack, this much at a time: it stays in the third cache.
    private const long PackBytes = 8 << 20;

    // A smaller B stays in a thread's second cache.
    private const long CachedBytes = 512 << 10;

    // Of wider matrices a block of K is too large for the second cache, and its rows lie pages apart (against packing first:
    // 352 x 128 a third faster, 1024 x 384 6 %, 3072 x 1024 2 % slower, 768 x 2048 5 %).
    private const long InPlaceColumns = 1024;

    // A larger A would come from memory for every strip of B.
    private const long StreamedBytes = 8 << 20;

    /// <summary>C = A·B with B packed before.</summary>
    public static void Run<A, E>(A left, long rows, PackedMatrix right, E epilogue)
        where A : unmanaged, ILeftOperand
        where E : unmanaged, IEpilogue => Run(left, rows, right, 0, right.Columns, epilogue);

    /// <summary>C = A·B; B is packed here: a strip at a time by the thread that multiplies it, or, where threads should have rows of
    /// their own, a cache-sized group of columns at a time by all threads.</summary>
    public static void Run<A, B, E>(A left, long rows, B right, E epilogue)
        where A : unmanaged, ILeftOperand
        where B : unmanaged, IRightOperand
        where E : unmanaged, IEpilogue
    {
        if (rows == 0 || right.Columns == 0)
        {
            return;
        }
        if (!TakesRows(left, rows, right))
        {
            var kernel = new StripKernel<A, B, E>(left, rows, right, DepthBlock(right.Columns, right.Depth), epilogue);
            CpuBackend.Run(kernel, kernel.Items, 1);
            return;
        }
        long stripBytes = PackedMatrix.FloatsOf(right.Depth, 1, right.Matrices) * sizeof(float);
        long all = PackedMatrix.StripsOf(right.Columns);
        long groups = Math.Clamp(((all * stripBytes) + PackBytes - 1) / PackBytes, 1, all);
        long strips = (all + groups - 1) / groups;
        using var lease = Workspace.Rent(strips * stripBytes);
        for (long first = 0; first < right.Columns; first += strips * PackedMatrix.StripColumns)
        {
            long columns = Math.Min(strips * PackedMatrix.StripColumns, right.Columns - first);
            var group = new PackedMatrix(lease.Floats, right.Depth, columns, right.Matrices);
            right.Pack(first, group);
            Run(left, rows, group, first, right.Columns, epilogue);
        }
    }

    /// <summary>C = Aᵀ·B of two matrices in memory.</summary>
    public static void RunTransposed<E>(MatrixView left, MatrixView right, E epilogue) where E : unmanaged, IEpilogue
    {
        if (TakesInPlace(left, right))
        {
            var kernel = new InPlaceKernel<E>(left, right, DepthBlock(right.Columns, left.Rows), epilogue);
            CpuBackend.Run(kernel, kernel.Items, 1);
            return;
        }
        Run(new LeftColumns<MatrixView>(left), left.Columns, RightOperand.Of(right), epilogue);
    }

    /// <summary>Rows of A per item where items are strips by blocks: the same, but fewer where there would be so few items that
    /// a thread with one more than another is felt.</summary>
    public static long BlockRows(long rows, long depth, long strips)
    {
        long wanted = (FewItems * CpuBackend.Threads / strips) + 1;
        return Math.Min(BlockRows(rows, depth), Math.Max(LeastBlockRows, TileRows(rows, wanted)));
    }

    /// <summary>Rows of A per item where threads have rows of their own: as many blocks for each of them, if B stays in the second cache
    /// and need not be read by few; the smallest blocks where threads would otherwise have no work.</summary>
    public static long BlockRows(long rows, PackedMatrix right)
    {
        long block = BlockRows(rows, right.Depth), threads = CpuBackend.Threads;
        long blocks = (rows + block - 1) / block, shared = blocks + threads - 1;
        long even = TileRows(rows, shared - (shared % threads));
        return IsCached(right.Depth, right.Columns, right.Matrices) && even >= LeastBlockRows ? even
            : blocks * PackedMatrix.StripsOf(right.Columns) < threads ? Math.Min(block, LeastBlockRows)
            : block;
    }

    /// <summary>Rows of A per item, a multiple of a tile's rows.</summary>
    public static long BlockRows(long rows, long depth)
    {
        long fit = Math.Clamp(BlockBytes / sizeof(float) / Math.Max(depth, 1), 2 * GemmTile.MaxRows, MaxBlockRows);
        long blocks = (rows + fit - 1) / fit;
        return TileRows(rows, blocks);
    }

    private static long TileRows(long rows, long blocks)
    {
        long tiles = (rows + GemmTile.MaxRows - 1) / GemmTile.MaxRows;
        return (tiles + blocks - 1) / blocks * GemmTile.MaxRows;
    }

    // Rows for an A that must be packed or is too large to be read once per strip, and for a B that is small beside it: rows of A are
    // then in one thread's cache, and no two threads write lines side by side (K = 128: a third faster where C comes from memory).
    private static bool TakesRows<A, B>(A left, long rows, B right)
        where A : unmanaged, ILeftOperand
        where B : unmanaged, IRightOperand =>
        !left.IsInPlace
        || rows * right.Depth * sizeof(float) > StreamedBytes
        || (rows > 2 * right.Depth && IsCached(right.Depth, right.Columns, right.Matrices));

    /// <summary>Whether Aᵀ·B is summed from rows where they lie: for whole panels of columns, and not where fewer threads would
    /// have work than with a packed B (a C of few rows and many columns). The sums are the same.</summary>
    public static bool TakesInPlace(MatrixView left, MatrixView right)
    {
        if (!left.IsFloat32Rows || !right.IsFloat32Rows || left.Rows == 0 || left.Columns is 0 or > InPlaceColumns
            || right.Columns is 0 or > InPlaceColumns || right.Columns % PackedMatrix.PanelColumns != 0)
        {
            return false;
        }
        long block = BlockRows(left.Columns, left.Rows), packedItems = (left.Columns + block - 1) / block * PackedMatrix.StripsOf(right.Columns);
        long tiles = (left.Columns + GemmTile.MaxRows - 1) / GemmTile.MaxRows;
        return tiles >= Math.Min(packedItems, CpuBackend.Threads);
    }

    private static bool IsCached(long depth, long columns, int matrices) => PackedMatrix.FloatsOf(depth, columns, matrices) * sizeof(float) <= CachedBytes;

    /// <summary>How many products are summed before the sum is added to the others; depends on the shape only.</summary>
    public static long DepthBlock(long columns, long depth) =>
        depth <= ShortestDepth ? DepthOfShortestBlock
        : columns <= PackedMatrix.PanelColumns || depth <= ShortDepth ? DepthOfShortBlock
        : DepthOfBlock;

    private static void Run<A, E>(A left, long rows, PackedMatrix right, long firstColumn, long allColumns, E epilogue)
        where A : unmanaged, ILeftOperand
        where E : unmanaged, IEpilogue
    {
        if (rows > 0 && right.Columns > 0)
        {
            var kernel = new GemmKernel<A, E>(left, rows, right, firstColumn, DepthBlock(allColumns, right.Depth), epilogue);
            CpuBackend.Run(kernel, kernel.Items, 1);
        }
    }
}
