using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Scalars of the forward kernel. Strides are in elements.</summary>
internal struct NormForwardScalars
{
    public long XStride;
    public long ResidualStride;
    public long Width;
    public float Eps;

    /// <summary>1 where statistics are saved, else 0.</summary>
    public int Saves;
}

/// <summary>The forward kernel of both norms on a device: a work-group per row.</summary>
/// <remarks>The arithmetic is that of <see cref="NormForward{T, R, N}"/>, but all in float32: a device may lack float64.
/// A: whether a residual is added.</remarks>
internal static class NormPortableForward<T, R, N, A, L>
    where T : unmanaged, IPortableElement<T>
    where R : unmanaged, IPortableElement<R>
    where N : unmanaged, INormKind
    where A : unmanaged, IFlag
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype, norm and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count, reassociate: L.Count == 1);

    /// <summary>Shapes as in <see cref="NormForwardArgs"/>; absent operands are empty.</summary>
    private static void Run(
        ArrayView<T> x, ArrayView<R> residual, ArrayView<float> gamma, ArrayView<float> beta,
        ArrayView<T> y, ArrayView<R> sum, ArrayView<float> statistics, NormForwardScalars a)
    {
        long row = Grid.IdxX;
        long at = row * a.XStride, other = row * a.ResidualStride, result = row * a.Width;
        var s = PortableRow<T, R, N, A, L>.Statistics(x, at, residual, other, a.Width, a.Eps);
        if (a.Saves != 0 && Group.IdxX == 0)
        {
            s.Save<N>(statistics, row);
        }
        for (long i = Group.IdxX; i < a.Width; i += L.Count)
        {
            float v = PortableRow<T, R, N, A, L>.Value(x, at + i, residual, other + i);
            if (A.IsSet)
            {
                sum[result + i] = R.Write(v);
            }
            v = s.Normalise<N>(v) * gamma[i];
            y[result + i] = T.Write(N.Centers ? v + beta[i] : v);
        }
    }
}

/// <summary>Mean in two parts and 1/√(σ² + ε) of a row; see <see cref="RowStatistics"/>.</summary>
internal readonly struct PortableStatistics(float mean, float meanRest, float rstd)
{
    public readonly float Mean = mean;
    public readonly float MeanRest = meanRest;
    public readonly float Rstd = rstd;

    /// <summary>Added to (x − Mean)·Rstd. Nothing times an infinite r, of a row without any deviation, would be NaN.</summary>
    public float Shift => MeanRest == 0 ? 0 : -MeanRest * Rstd;

    public void Save<N>(ArrayView<float> statistics, long row) where N : unmanaged, INormKind
    {
        long at = row * (N.Centers ? 3 : 1);
        statistics[at] = Rstd;
        if (N.Centers)
        {
            statistics[at + 1] = Mean;
            statistics[at + 2] = MeanRest;
        }
    }

    public static PortableStatistics Load<N>(ArrayView<float> statistics, long row) where N : unmanaged, INormKind
    {
        long at = row * (N.Centers ? 3 : 1);
        return N.Centers ? new(statistics[at + 1], statistics[at + 2], statistics[at]) : new(0, 0, statistics[at]);
    }

    /// <summary>1/√(sum / width + ε), with what the division and the addition lose: an error of r is one of the whole row.</summary>
    public static float RootOfMean(float sum, float width, float eps)
    {
        float mean = sum / width, value = mean + eps;
        float lost = mean - value + eps + (Builtin.Fma(-mean, width, sum) / width);
        float r = Builtin.Rsqrt(value);
        return r > 0 && r < float.PositiveInfinity ? Builtin.Fma(-0.5f * r, lost / value, r) : r;
    }

    /// <summary>(x − μ)·r, or x·r for RMSNorm. The rest of μ goes through a fused product, which no compiler reorders.</summary>
    public float Normalise<N>(float x) where N : unmanaged, INormKind => N.Centers ? Builtin.Fma(x - Mean, Rstd, Shift) : x * Rstd;
}

/// <summary>Sums over a row of x, or of x + residual, by the lanes of a work-group.</summary>
internal static class PortableRow<T, R, N, A, L>
    where T : unmanaged, IPortableElement<T>
    where R : unmanaged, IPortableElement<R>
    where N : unmanaged, INormKind
    where A : unmanaged, IFlag
    where L : unmanaged, ILanes
{
    public static float Value(ArrayView<T> x, long i, ArrayView<R> residual, long j) =>
        A.IsSet ? T.Read(x[i]) + R.Read(residual[j]) : T.Read(x[i]);

    public static PortableStatistics Statistics(ArrayView<T> x, long at, ArrayView<R> residual, long other, long width, float eps)
    {
        float total = 0;
        for (long block = Group.IdxX; block < width; block += Lanes.Block * L.Count)
        {
            float part = 0;
            long stop = Math.Min(width, block + (Lanes.Block * L.Count));
            for (long i = block; i < stop; i += L.Count)
            {
                float v = Value(x, at + i, residual, other + i);
                part += N.Centers ? v : v * v;
            }
            total += part;
        }
        total = Lanes.Sum<L>(total);
        if (!N.Centers)
        {
            return new(0, 0, PortableStatistics.RootOfMean(total, width, eps));
        }
        total /= width;
        float rest = 0, squares = 0;
        for (long block = Group.IdxX; block < width; block += Lanes.Block * L.Count)
        {
            float part = 0, partSquares = 0;
            long stop = Math.Min(width, block + (Lanes.Block * L.Count));
            for (long i = block; i < stop; i += L.Count)
            {
                float d = Value(x, at + i, residual, other + i) - total;
                part += d;
                partSquares += d * d;
            }
            rest += part;
            squares += partSquares;
        }
        rest = Lanes.Sum<L>(rest) / width;
        float deviations = Builtin.Fma(-rest * width, rest, Lanes.Sum<L>(squares));
        return new(total, rest, PortableStatistics.RootOfMean(MathF.Max(deviations, 0), width, eps));
    }
}
