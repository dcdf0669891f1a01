using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Where the chunks' sums lie.</summary>
internal struct SumScalars
{
    public long Chunks;

    /// <summary>Elements from one chunk's sums to the next.</summary>
    public long Stride;
    public long Width;
}

/// <summary>result[i] = Σ over chunks of partials[chunk · stride + i], in the order of the chunks: a work-item per column.</summary>
internal static class SumPortable<T> where T : unmanaged, IPortableElement<T>
{
    /// <summary>Columns of a work-group.</summary>
    public const int Columns = 64;

    /// <summary>One per dtype of the result.</summary>
    public static readonly PortableKernel Kernel = new(Run, Columns);

    private static void Run(ArrayView<float> partials, ArrayView<T> result, SumScalars s)
    {
        long i = (Grid.IdxX * (long)Columns) + Group.IdxX;
        if (i < s.Width)
        {
            float sum = 0, lost = 0;
            for (long chunk = 0; chunk < s.Chunks; chunk++)
            {
                sum = Builtin.Add(sum, partials[(chunk * s.Stride) + i], ref lost);
            }
            result[i] = T.Write(Builtin.Total(sum, lost));
        }
    }
}
