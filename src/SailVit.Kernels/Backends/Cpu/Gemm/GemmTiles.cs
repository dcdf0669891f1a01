using System.Runtime.Intrinsics.X86;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Cuts a block of rows × one strip into register tiles.</summary>
internal static unsafe class GemmTiles
{
    /// <summary>One strip of the output: all of K in blocks, of every matrix, and the epilogue.</summary>
    /// <param name="a">Rows of A.</param>
    /// <param name="row">The first of them in the output.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="right">B.</param>
    /// <param name="strip">Which strip of it; a pair of matrices counts once.</param>
    /// <param name="firstColumn">Column of the output at which B begins.</param>
    /// <param name="depthBlock">Products per sum.</param>
    /// <param name="sums">Scratch, a strip's floats of every matrix for each row.</param>
    /// <param name="epilogue">What becomes of the sums.</param>
    /// <param name="fresh">Whether rows of A are read for the first time, from where they lie.</param>
    public static void Strip<S, V, E>(LeftBlock a, long row, long rows, PackedMatrix right, long strip, long firstColumn, long depthBlock, float* sums, E epilogue, bool fresh = false)
        where S : struct, ISimd<V>
        where V : unmanaged
        where E : unmanaged, IEpilogue
    {
        int sumStep = right.Matrices * PackedMatrix.StripColumns;
        long column = strip * PackedMatrix.StripColumns;
        int columns = (int)Math.Min(PackedMatrix.StripColumns, right.Columns - column);
        // Whole panels only: all lanes of a vector are stored.
        if (columns % PackedMatrix.PanelColumns == 0 && epilogue.InPlace(row, firstColumn + column) is { Data: not null } place)
        {
            Multiply<S, V>(a, rows, right, strip, depthBlock, columns, place.Data, place.RowStep, epilogue.Ahead(row, firstColumn + column, 0), fresh, storesFirst: true);
            return;
        }
        for (int m = 0; m < right.Matrices; m++)
        {
            Multiply<S, V>(a, rows, right, (strip * right.Matrices) + m, depthBlock, columns, sums + (m * PackedMatrix.StripColumns), sumStep, epilogue.Ahead(row, firstColumn + column, m), fresh && m == 0);
        }
        for (long r = 0; r < rows; r++)
        {
            epilogue.Row<S, V>(sums + (r * sumStep), row + r, firstColumn + column, columns);
        }
    }

    private static void Multiply<S, V>(LeftBlock a, long rows, PackedMatrix right, long strip, long depthBlock, int columns, float* sums, int sumStep, in LinesAhead output, bool fresh, bool storesFirst = false)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        for (long r = 0; right.Depth == 0 && r < rows; r++)
        {
            new Span<float>(sums + (r * sumStep), columns).Clear();
        }
        var following = right.Strip((strip + 1) % right.Strips);
        for (long k = 0; k < right.Depth; k += depthBlock)
        {
            long end = Math.Min(right.Depth, k + depthBlock);
            var next = end < right.Depth ? right.Block(strip, end).Data : following;
            Run<S, V>(a.From(k), rows, right.Block(strip, k), end - k, columns, sums, sumStep, add: k > 0, next, (storesFirst ? k == 0 : end == right.Depth) ? output : default, fresh ? a.From(k).Ahead(end - k) : default);
        }
    }

    /// <param name="a">Rows of A at the first k of this block.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="b">The strip of B at the first k of this block.</param>
    /// <param name="depth">Products per sum in this block.</param>
    /// <param name="columns">Valid columns of the strip; of the last vector all lanes are computed.</param>
    /// <param name="sums">Result.</param>
    /// <param name="sumStep">Floats from one row of the result to the next.</param>
    /// <param name="add">Adds to the result instead of writing it.</param>
    /// <param name="next">Where B will be read after this block; null for nowhere.</param>
    /// <param name="output">Where the results will be stored after this block; nowhere by default.</param>
    /// <param name="input">What will be read of A; nowhere by default.</param>
    public static void Run<S, V>(LeftBlock a, long rows, RightBlock b, long depth, int columns, float* sums, int sumStep, bool add, float* next = null, in LinesAhead output = default, in LinesAhead input = default)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        // At 16 lanes a vector is a whole panel, and the next vector lies in the next panel.
        nint vectorStep = (S.Width == PackedMatrix.PanelColumns ? b.PanelStep : S.Width) * sizeof(float);
        int tileColumns = S.Width * GemmTile.MaxVectors(S.Width);
        var plan = new PrefetchPlan(next, b, depth, rows, columns, output, input);
        for (int c = 0; c < columns; c += tileColumns)
        {
            var panel = b.Data + (c / PackedMatrix.PanelColumns * b.PanelStep) + (c % PackedMatrix.PanelColumns);
            int vectors = Math.Min((columns - c + S.Width - 1) / S.Width, GemmTile.MaxVectors(S.Width));
            switch (vectors)
            {
                case 1:
                    Rows<S, V, One>(a, rows, panel, b.KStep, vectorStep, depth, sums + c, sumStep, add, plan, c == 0 && plan.IsAny);
                    break;
                case 2:
                    Rows<S, V, Two>(a, rows, panel, b.KStep, vectorStep, depth, sums + c, sumStep, add, plan, c == 0 && plan.IsAny);
                    break;
                case 3:
                    Rows<S, V, Three>(a, rows, panel, b.KStep, vectorStep, depth, sums + c, sumStep, add, plan, c == 0 && plan.IsAny);
                    break;
                default:
                    Rows<S, V, Four>(a, rows, panel, b.KStep, vectorStep, depth, sums + c, sumStep, add, plan, c == 0 && plan.IsAny);
                    break;
            }
        }
    }

    private static void Rows<S, V, C>(LeftBlock a, long rows, float* b, nint bStride, nint vectorStep, long depth, float* sums, int sumStep, bool add, in PrefetchPlan plan, bool asks)
        where S : struct, ISimd<V>
        where V : unmanaged
        where C : struct, IConstant
    {
        nint rowStep = (nint)a.RowStride * sizeof(float), kStep = (nint)a.KStride * sizeof(float), bStep = bStride * sizeof(float);
        for (long row = 0; row < rows; row += GemmTile.MaxRows)
        {
            long tile = row / GemmTile.MaxRows;
            if (asks)
            {
                plan.Step(tile);
            }
            var from = (byte*)(a.Data + (tile * a.TileStride));
            var to = sums + (row * sumStep);
            switch (rows - row)
            {
                case 1:
                    GemmTile.Run<S, V, One, C>(depth, from, rowStep, kStep, (byte*)b, bStep, vectorStep, to, sumStep, add);
                    break;
                case 2:
                    GemmTile.Run<S, V, Two, C>(depth, from, rowStep, kStep, (byte*)b, bStep, vectorStep, to, sumStep, add);
                    break;
                case 3:
                    GemmTile.Run<S, V, Three, C>(depth, from, rowStep, kStep, (byte*)b, bStep, vectorStep, to, sumStep, add);
                    break;
                case 4:
                    GemmTile.Run<S, V, Four, C>(depth, from, rowStep, kStep, (byte*)b, bStep, vectorStep, to, sumStep, add);
                    break;
                case 5:
                    GemmTile.Run<S, V, Five, C>(depth, from, rowStep, kStep, (byte*)b, bStep, vectorStep, to, sumStep, add);
                    break;
                default:
                    GemmTile.Run<S, V, Six, C>(depth, from, rowStep, kStep, (byte*)b, bStep, vectorStep, to, sumStep, add);
                    break;
            }
        }
    }
}

/// <summary>Brings the next block of B from the third cache to the second while this one is multiplied, a piece per tile:
/// the first tile of a block would otherwise wait for every line.</summary>
internal readonly unsafe struct PrefetchPlan
{
    private readonly float* _next;
    private readonly nint _panelStep;
    private readonly nint _kStep;
    private readonly long _lines;
    private readonly long _linesPerTile;
    private readonly int _panels;
    private readonly LinesAhead _output;
    private readonly LinesAhead _input;

    public PrefetchPlan(float* next, in RightBlock b, long depth, long rows, int columns, in LinesAhead output, in LinesAhead input)
    {
        _next = next;
        _output = output;
        _input = input;
        _panelStep = b.PanelStep;
        _kStep = b.KStep;
        _lines = next == null || !Sse.IsSupported ? 0 : depth;
        _linesPerTile = ((_lines * GemmTile.MaxRows) + rows - 1) / rows;
        _panels = (columns + PackedMatrix.PanelColumns - 1) / PackedMatrix.PanelColumns;
    }

    public bool IsAny => _lines > 0 || _output.IsAny || _input.IsAny;

    /// <summary>Asks for the piece that belongs to a tile.</summary>
    public void Step(long tile)
    {
        _output.Step(tile);
        _input.Step(tile);
        long first = tile * _linesPerTile, end = Math.Min(_lines, first + _linesPerTile);
        for (int p = 0; p < _panels; p++)
        {
            var panel = _next + (p * _panelStep);
            for (long line = first; line < end; line++)
            {
                Sse.Prefetch1(panel + (line * _kStep));
            }
        }
    }
}
