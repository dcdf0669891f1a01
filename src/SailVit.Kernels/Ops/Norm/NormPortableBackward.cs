using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Scalars of the backward kernels. Strides are in elements; flags are 0 or 1.</summary>
internal struct NormBackwardScalars
{
    public long XStride;
    public long DyStride;
    public long DSumStride;
    public long Rows;
    public long RowsPerChunk;
    public long Width;
    public float Eps;
    public int OfRoundedSum;
    public int WantsDx;
    public int WantsDResidual;
}

/// <summary>The gradient of the input of both norms on a device: a work-group per row. A: whether the residual output has a gradient.</summary>
/// <remarks>The formulas are those of <see cref="NormBackward{T, R, N}"/>. No loop over channels has a branch inside: what a branch
/// masks is stored by a slow instruction on processors.</remarks>
internal static class NormPortableBackward<T, R, N, A, L>
    where T : unmanaged, IPortableElement<T>
    where R : unmanaged, IPortableElement<R>
    where N : unmanaged, INormKind
    where A : unmanaged, IFlag
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype, norm and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count, reassociate: L.Count == 1);

    /// <summary>Shapes as in <see cref="NormBackwardArgs"/>; absent operands are empty. Of a rounded sum, the statistics are written here.</summary>
    private static void Run(
        ArrayView<R> x, ArrayView<T> dy, ArrayView<R> dSum, ArrayView<float> gamma, ArrayView<float> statistics,
        ArrayView<T> dx, ArrayView<R> dResidual, NormBackwardScalars a)
    {
        long row = Grid.IdxX;
        long xAt = row * a.XStride, dyAt = row * a.DyStride, dSumAt = row * a.DSumStride, result = row * a.Width;
        PortableStatistics s;
        if (a.OfRoundedSum != 0)
        {
            s = PortableRow<R, R, N, No, L>.Statistics(x, xAt, x, xAt, a.Width, a.Eps);
            if (Group.IdxX == 0)
            {
                s.Save<N>(statistics, row);
            }
        }
        else
        {
            s = PortableStatistics.Load<N>(statistics, row);
        }
        var m = Means(x, xAt, dy, dyAt, gamma, s, a.Width);
        if (a.WantsDx != 0)
        {
            for (long i = Group.IdxX; i < a.Width; i += L.Count)
            {
                dx[result + i] = T.Write(Gradient(R.Read(x[xAt + i]), T.Read(dy[dyAt + i]) * gamma[i], dSum, dSumAt + i, s, m));
            }
        }
        if (a.WantsDResidual != 0)
        {
            for (long i = Group.IdxX; i < a.Width; i += L.Count)
            {
                dResidual[result + i] = R.Write(Gradient(R.Read(x[xAt + i]), T.Read(dy[dyAt + i]) * gamma[i], dSum, dSumAt + i, s, m));
            }
        }
    }

    /// <summary>mean(g) and mean(g·x̂) of a row, with g = dy·γ.</summary>
    private static (float G, float Gx) Means(ArrayView<R> x, long xAt, ArrayView<T> dy, long dyAt, ArrayView<float> gamma, PortableStatistics s, long width)
    {
        float sumG = 0, sumGx = 0;
        for (long block = Group.IdxX; block < width; block += Lanes.Block * L.Count)
        {
            float g = 0, gx = 0;
            long stop = Math.Min(width, block + (Lanes.Block * L.Count));
            for (long i = block; i < stop; i += L.Count)
            {
                float v = T.Read(dy[dyAt + i]) * gamma[i];
                float d = R.Read(x[xAt + i]);
                g += v;
                gx += v * (N.Centers ? d - s.Mean : d);
            }
            sumG += g;
            sumGx += gx;
        }
        sumGx = Lanes.Sum<L>(sumGx);
        sumG = N.Centers ? Lanes.Sum<L>(sumG) : 0;
        return (sumG / width, (sumGx - (s.MeanRest * sumG)) * s.Rstd / width);
    }

    private static float Gradient(float x, float g, ArrayView<R> dSum, long i, PortableStatistics s, (float G, float Gx) mean)
    {
        // Before anything is rounded: at width 1 nothing must be left.
        float v = Builtin.Fma(-s.Normalise<N>(x), mean.Gx, N.Centers ? g - mean.G : g) * s.Rstd;
        return A.IsSet ? v + R.Read(dSum[i]) : v;
    }
}

/// <summary>Partial sums of dγ and dβ on a device: a work-group per chunk of rows and block of channels.</summary>
/// <remarks>A lane keeps to its channels, so that sums are added row by row without a race and always in the same order.</remarks>
internal static class NormPortableParameters<T, R, N, L>
    where T : unmanaged, IPortableElement<T>
    where R : unmanaged, IPortableElement<R>
    where N : unmanaged, INormKind
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype, norm and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <summary>Channels of a work-group: the sums of a processor's block stay in its first cache.</summary>
    public static long Channels => L.Count == 1 ? 1024 : L.Count;

    /// <summary>partials: [Chunks, 2, Width], [Chunks, 1, Width] for RMSNorm.</summary>
    private static void Run(ArrayView<R> x, ArrayView<T> dy, ArrayView<float> statistics, ArrayView<float> partials, NormBackwardScalars a)
    {
        long channels = Channels, blocks = (a.Width + channels - 1) / channels;
        long chunk = Grid.IdxX / blocks, begin = Grid.IdxX % blocks * channels, end = Math.Min(a.Width, begin + channels);
        long gamma = chunk * a.Width * (N.Centers ? 2 : 1), beta = gamma + a.Width;
        for (long i = begin + Group.IdxX; i < end; i += L.Count)
        {
            partials[gamma + i] = 0;
            if (N.Centers)
            {
                partials[beta + i] = 0;
            }
        }
        long first = chunk * a.RowsPerChunk, stop = Math.Min(a.Rows, first + a.RowsPerChunk);
        for (long row = first; row < stop; row++)
        {
            long xAt = row * a.XStride, dyAt = row * a.DyStride;
            var s = PortableStatistics.Load<N>(statistics, row);
            for (long i = begin + Group.IdxX; i < end; i += L.Count)
            {
                float g = T.Read(dy[dyAt + i]);
                partials[gamma + i] = Builtin.Fma(g, s.Normalise<N>(R.Read(x[xAt + i])), partials[gamma + i]);
                if (N.Centers)
                {
                    partials[beta + i] += g;
                }
            }
        }
    }
}
