using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Lines [First, First + Count) of a matrix, and where they go: one of the matrices of a pair, or the only one.</summary>
internal readonly unsafe record struct PanelRange(long First, long Count, nint To, int Matrices = 1, int Matrix = 0)
{
    /// <summary>What a kernel that packs them is told.</summary>
    public PackScalars Scalars<W>(long depth) where W : unmanaged, IPanel => new()
    {
        FirstLine = First,
        Lines = Count,
        Depth = depth,
        Chunks = (depth + Panel.Depth - 1) / Panel.Depth,
        // Of the right one whole strips: a tile reads two panels, though there be no second.
        Panels = W.Width == Vector16.Width ? PackedMatrix.StripsOf(Count) * PackedMatrix.PanelsPerStrip : (Count + W.Width - 1) / W.Width,
        Matrices = Matrices,
        Matrix = Matrix,
    };

    /// <summary>The memory of all matrices' panels.</summary>
    public HostArray Target<W>(long depth) where W : unmanaged, IPanel =>
        HostArray.Write((void*)To, Scalars<W>(depth).Panels * Matrices * W.Width * depth, sizeof(float));
}

/// <summary>An operand of a product before it is packed: its lines are the left one's rows or the right one's columns.</summary>
internal interface IPanelSource
{
    long Lines { get; }

    long Depth { get; }

    /// <summary>Packs lines on the device in use.</summary>
    void Pack<W, L>(PanelRange range) where W : unmanaged, IPanel where L : unmanaged, ILanes;
}

/// <summary>A matrix in memory: its rows as lines, or its columns.</summary>
internal readonly unsafe struct MatrixPanels(MatrixView x, bool columns) : IPanelSource
{
    public long Lines => columns ? x.Columns : x.Rows;

    public long Depth => columns ? x.Rows : x.Columns;

    public void Pack<W, L>(PanelRange range) where W : unmanaged, IPanel where L : unmanaged, ILanes =>
        PortableDispatch.For(x.DType, new Call<W, L>(x, columns, range));

    private readonly struct Call<W, L>(MatrixView x, bool columns, PanelRange range) : IPortableCall
        where W : unmanaged, IPanel
        where L : unmanaged, ILanes
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            long depth = columns ? x.Rows : x.Columns;
            var scalars = range.Scalars<W>(depth);
            (scalars.LineStride, scalars.DepthStride) = columns ? (x.ColumnStride, x.RowStride) : (x.RowStride, x.ColumnStride);
            long extent = ((x.Rows - 1) * x.RowStride) + ((x.Columns - 1) * x.ColumnStride) + 1;
            HostArray[] arrays = [HostArray.Read(x.Data, extent, sizeof(T)), range.Target<W>(depth)];
            OpenClProduct.LaunchItems<L, PackScalars>(PackPortable<T, W, L>.Kernel, scalars.Panels * scalars.Chunks, arrays, scalars);
        }
    }
}
