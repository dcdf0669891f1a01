using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>How many rows or columns of a matrix lie side by side in a panel: a constant to the compiler.</summary>
internal interface IPanel
{
    static abstract int Width { get; }
}

/// <summary>A panel of the right matrix: the columns of one vector, as <see cref="Cpu.Gemm.PackedMatrix"/> has them.</summary>
internal readonly struct RightPanel : IPanel
{
    public static int Width => Vector16.Width;
}

/// <summary>A panel of the left matrix: the rows of a tile.</summary>
internal readonly struct LeftPanel<R> : IPanel where R : unmanaged, IRowTile<R>
{
    public static int Width => R.Count;
}

/// <summary>A matrix in memory, and where its panels go. "Lines" are the rows or columns that lie side by side in a panel.</summary>
internal struct PackScalars
{
    /// <summary>Lines from the first one on.</summary>
    public long Lines;
    public long FirstLine;
    public long Depth;
    public long LineStride;
    public long DepthStride;

    /// <summary>Work-items per panel.</summary>
    public long Chunks;
    public long Panels;

    /// <summary>See <see cref="ProductScalars.Matrices"/>; which of them this one is.</summary>
    public int Matrices;
    public int Matrix;
}

/// <summary>to[panel][k][line] = the matrix as float32, with zeros for lines that there are not. W: lines of a panel.</summary>
internal static class PackPortable<T, W, L>
    where T : unmanaged, IPortableElement<T>
    where W : unmanaged, IPanel
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype, width and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<T> from, ArrayView<float> to, PackScalars s)
    {
        long item = (Grid.IdxX * (long)L.Count) + Group.IdxX;
        // Neighbours have panels side by side, whose lines may share what a cache holds.
        long panel = item % s.Panels, chunk = item / s.Panels;
        if (chunk >= s.Chunks)
        {
            return;
        }
        long length = (s.Depth + s.Chunks - 1) / s.Chunks, k = chunk * length, stop = Math.Min(s.Depth, k + length);
        long line = panel * W.Width, count = Math.Min(W.Width, s.Lines - line);
        long source = (s.FirstLine + line) * s.LineStride, result = Panel.Place(panel, s.Matrices, s.Matrix) * s.Depth * W.Width;
        for (; k < stop; k++)
        {
            long at = source + (k * s.DepthStride), put = result + (k * W.Width);
            if (count == W.Width)
            {
                for (int i = 0; i < W.Width; i++)
                {
                    to[put + i] = T.Read(from[at + (i * s.LineStride)]);
                }
            }
            else
            {
                for (int i = 0; i < W.Width; i++)
                {
                    to[put + i] = i < count ? T.Read(from[at + (i * s.LineStride)]) : 0;
                }
            }
        }
    }
}

/// <summary>How panels are divided and where they lie.</summary>
internal static class Panel
{
    /// <summary>Rows of a panel that a work-item packs: enough that starting it does not count; few, so that neighbours find in the cache
    /// what it read beside its own.</summary>
    public const long Depth = 64;

    /// <summary>Where a panel of one of the matrices lies among those of all.</summary>
    public static long Place(long panel, int matrices, int matrix)
    {
        const long PerStrip = Cpu.Gemm.PackedMatrix.PanelsPerStrip;
        return ((((panel / PerStrip) * matrices) + matrix) * PerStrip) + (panel % PerStrip);
    }
}
