using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Where the summands lie, in elements.</summary>
internal struct SumScalars
{
    public long Chunks;

    /// <summary>From one chunk's summands to the next.</summary>
    public long Stride;
    public long Width;

    /// <summary>From one of a chunk's summands to the next.</summary>
    public long ColumnStride;
}

/// <summary>result[i] = Σ over chunks of partials[chunk · stride + i], in the order of the chunks, with what each addition loses: where
/// summands largely cancel, plain sums keep the rounding of the largest partial one.</summary>
internal static class SumPortable<S, T, L>
    where S : unmanaged, IPortableElement<S>
    where T : unmanaged, IPortableElement<T>
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype of summands and result, and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <summary>Columns of a work-group: side by side in the vectors of a processor, or one for each lane.</summary>
    public static long Columns => L.Count == 1 ? 64 : L.Count;

    private static void Run(ArrayView<S> partials, ArrayView<T> result, SumScalars s)
    {
        int mine = (int)(Columns / L.Count);
        long first = (Grid.IdxX * Columns) + (Group.IdxX * mine);
        int count = (int)Math.Min(mine, s.Width - first);
        var sums = LocalMemory.Allocate<float>(64);
        var losses = LocalMemory.Allocate<float>(64);
        for (int i = 0; i < count; i++)
        {
            sums[i] = 0;
            losses[i] = 0;
        }
        for (long chunk = 0; chunk < s.Chunks; chunk++)
        {
            long at = (chunk * s.Stride) + (first * s.ColumnStride);
            for (int i = 0; i < count; i++)
            {
                float lost = losses[i];
                sums[i] = Builtin.Add(sums[i], S.Read(partials[at + (i * s.ColumnStride)]), ref lost);
                losses[i] = lost;
            }
        }
        for (int i = 0; i < count; i++)
        {
            result[first + i] = T.Write(Builtin.Total(sums[i], losses[i]));
        }
    }
}
