namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>A matrix that is read by rows: one in memory, or one that is never made (the patches of an image).</summary>
internal unsafe interface IRowSource
{
    /// <summary>Floats behind a copied range that copying may overwrite.</summary>
    const int Slack = 16;

    long Rows { get; }

    long Columns { get; }

    /// <summary>Whether <see cref="InPlace"/> gives rows.</summary>
    bool IsFloat32Rows { get; }

    /// <summary>A row from a column on, where it lies.</summary>
    float* InPlace(long row, long column);

    /// <summary>Reads count elements of a row from a column on as float32.</summary>
    void CopyRow<S, V>(long row, long column, long count, float* to) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>B = x.</summary>
internal readonly unsafe struct RightRows<X>(X x) : IRightOperand where X : unmanaged, IRowSource
{
    // A few rows across all strips at a time: memory is read along rows, and written in runs.
    private const long BlockRows = 16;

    private readonly X _x = x;

    public int Matrices => 1;

    public long Depth => _x.Rows;

    public long Columns => _x.Columns;

    /// <summary>Packs all columns on the calling thread, inside another kernel's work.</summary>
    public void Pack<S, V>(PackedMatrix to) where S : struct, ISimd<V> where V : unmanaged => Pack<S, V>(0, to, 0, to.Strips);

    public void Pack<S, V>(long firstColumn, PackedMatrix to, long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long strip = begin; strip < end; strip++)
        {
            RightOperand.Begin(this, firstColumn, to, strip, out _);
        }
        long column = firstColumn + (begin * PackedMatrix.StripColumns);
        long columns = Math.Min((end - begin) * PackedMatrix.StripColumns, Columns - column);
        using var lease = Workspace.Rent(_x.IsFloat32Rows ? 0 : ((BlockRows * columns) + IRowSource.Slack) * sizeof(float));
        for (long first = 0; first < to.Depth; first += BlockRows)
        {
            long rows = Math.Min(BlockRows, to.Depth - first);
            for (long r = 0; !_x.IsFloat32Rows && r < rows; r++)
            {
                _x.CopyRow<S, V>(first + r, column, columns, lease.Floats + (r * columns));
            }
            for (long strip = begin; strip < end; strip++)
            {
                long at = (strip - begin) * PackedMatrix.StripColumns;
                int count = (int)Math.Min(PackedMatrix.StripColumns, columns - at);
                for (long r = 0; r < rows; r++)
                {
                    float* from = _x.IsFloat32Rows ? _x.InPlace(first + r, column + at) : lease.Floats + (r * columns) + at;
                    PackRow<S, V>(from, count, to.Strip(strip) + ((first + r) * PackedMatrix.PanelColumns), to.Depth * PackedMatrix.PanelColumns);
                }
            }
        }
    }

    private static void PackRow<S, V>(float* from, int count, float* panel, long panelStep) where S : struct, ISimd<V> where V : unmanaged
    {
        for (; count >= PackedMatrix.PanelColumns; count -= PackedMatrix.PanelColumns, from += PackedMatrix.PanelColumns, panel += panelStep)
        {
            for (int i = 0; i < PackedMatrix.PanelColumns; i += S.Width)
            {
                S.Store(panel + i, S.Load(from + i));
            }
        }
        for (int i = 0; i < count; i++)
        {
            panel[i] = from[i];
        }
    }
}
