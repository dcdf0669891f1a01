using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Both norms of float32 rows on a processor: a work-item per row, four vectors at a time. A: whether there is a residual.</summary>
/// <remarks>The arithmetic of <see cref="NormPortableForward{T, R, N, A, L}"/>. Where a loop over channels leaves the vectors to the
/// device's compiler, it stops every 256 channels to add them up, and takes twice as long.</remarks>
internal static class NormVectorForward<N, A>
    where N : unmanaged, INormKind
    where A : unmanaged, IFlag
{
    /// <summary>One per norm.</summary>
    public static readonly PortableKernel Kernel = new(Run, 1);

    /// <summary>Shapes as in <see cref="NormForwardArgs"/>; absent operands are empty.</summary>
    private static void Run(
        ArrayView<float> x, ArrayView<float> residual, ArrayView<float> gamma, ArrayView<float> beta,
        ArrayView<float> y, ArrayView<float> sum, ArrayView<float> statistics, NormForwardScalars a)
    {
        long row = Grid.IdxX;
        long at = row * a.XStride, other = row * a.ResidualStride, result = row * a.Width;
        var s = VectorRow<N, A>.Statistics(x, at, residual, other, a.Width, a.Eps);
        if (a.Saves != 0)
        {
            s.Save<N>(statistics, row);
        }
        var row16 = new VectorStatistics(s);
        for (long i = 0; i < a.Width; i += Vector16.Width)
        {
            var v = VectorRow<N, A>.Value(x, at + i, residual, other + i);
            if (A.IsSet)
            {
                v.Store(sum, result + i);
            }
            v = row16.Normalise<N>(v);
            var scale = Vector16.Load(gamma, i);
            (N.Centers ? Vector16.Fma(v, scale, Vector16.Load(beta, i)) : v * scale).Store(y, result + i);
        }
    }
}

/// <summary>The gradient of the input of both norms of float32 rows on a processor. A: whether the residual output has a gradient.</summary>
internal static class NormVectorBackward<N, A>
    where N : unmanaged, INormKind
    where A : unmanaged, IFlag
{
    /// <summary>One per norm.</summary>
    public static readonly PortableKernel Kernel = new(Run, 1);

    /// <summary>Shapes as in <see cref="NormBackwardArgs"/>. Float32 has one gradient for input and residual: <paramref name="dx"/>.</summary>
    private static void Run(
        ArrayView<float> x, ArrayView<float> dy, ArrayView<float> dSum, ArrayView<float> gamma, ArrayView<float> statistics,
        ArrayView<float> dx, ArrayView<float> none, NormBackwardScalars a)
    {
        long row = Grid.IdxX;
        long xAt = row * a.XStride, dyAt = row * a.DyStride, dSumAt = row * a.DSumStride, result = row * a.Width;
        var s = PortableStatistics.Load<N>(statistics, row);
        var row16 = new VectorStatistics(s);
        Vector16 g0 = Vector16.Zero, g1 = Vector16.Zero, gx0 = Vector16.Zero, gx1 = Vector16.Zero;
        for (long i = 0; i < a.Width; i += 2 * Vector16.Width)
        {
            var v0 = Vector16.Load(dy, dyAt + i) * Vector16.Load(gamma, i);
            var v1 = Vector16.Load(dy, dyAt + i + Vector16.Width) * Vector16.Load(gamma, i + Vector16.Width);
            (g0, g1) = (g0 + v0, g1 + v1);
            gx0 = Vector16.Fma(v0, row16.Center<N>(Vector16.Load(x, xAt + i)), gx0);
            gx1 = Vector16.Fma(v1, row16.Center<N>(Vector16.Load(x, xAt + i + Vector16.Width)), gx1);
        }
        float sumG = N.Centers ? Vector16.Sum(g0 + g1) : 0;
        var meanG = Vector16.Create(sumG / a.Width);
        var meanGx = Vector16.Create((Vector16.Sum(gx0 + gx1) - (s.MeanRest * sumG)) * s.Rstd / a.Width);
        for (long i = 0; i < a.Width; i += Vector16.Width)
        {
            var g = Vector16.Load(dy, dyAt + i) * Vector16.Load(gamma, i);
            // Before anything is rounded: where a row has one value nothing must be left.
            var v = Vector16.Fma(-row16.Normalise<N>(Vector16.Load(x, xAt + i)), meanGx, N.Centers ? g - meanG : g) * row16.Rstd;
            (A.IsSet ? v + Vector16.Load(dSum, dSumAt + i) : v).Store(dx, result + i);
        }
    }
}

/// <summary>Partial sums of dγ and dβ of float32 rows on a processor: a work-item per chunk of rows and <see cref="Channels"/> channels,
/// whose sums stay in registers.</summary>
internal static class NormVectorParameters<N> where N : unmanaged, INormKind
{
    /// <summary>Of a work-item.</summary>
    public const long Channels = 2 * Vector16.Width;

    /// <summary>One per norm.</summary>
    public static readonly PortableKernel Kernel = new(Run, 1);

    /// <summary>partials: [Chunks, 2, Width], [Chunks, 1, Width] for RMSNorm.</summary>
    private static void Run(ArrayView<float> x, ArrayView<float> dy, ArrayView<float> statistics, ArrayView<float> partials, NormBackwardScalars a)
    {
        long blocks = a.Width / Channels, chunk = Grid.IdxX / blocks, low = Grid.IdxX % blocks * Channels, high = low + Vector16.Width;
        Vector16 gamma0 = Vector16.Zero, gamma1 = Vector16.Zero, beta0 = Vector16.Zero, beta1 = Vector16.Zero;
        long stop = Math.Min(a.Rows, (chunk + 1) * a.RowsPerChunk);
        for (long row = chunk * a.RowsPerChunk; row < stop; row++)
        {
            long xAt = row * a.XStride, dyAt = row * a.DyStride;
            var row16 = new VectorStatistics(PortableStatistics.Load<N>(statistics, row));
            Vector16 g0 = Vector16.Load(dy, dyAt + low), g1 = Vector16.Load(dy, dyAt + high);
            gamma0 = Vector16.Fma(g0, row16.Normalise<N>(Vector16.Load(x, xAt + low)), gamma0);
            gamma1 = Vector16.Fma(g1, row16.Normalise<N>(Vector16.Load(x, xAt + high)), gamma1);
            (beta0, beta1) = (beta0 + g0, beta1 + g1);
        }
        long to = chunk * a.Width * (N.Centers ? 2 : 1);
        gamma0.Store(partials, to + low);
        gamma1.Store(partials, to + high);
        if (N.Centers)
        {
            beta0.Store(partials, to + a.Width + low);
            beta1.Store(partials, to + a.Width + high);
        }
    }
}

/// <summary>A row's statistics in every lane.</summary>
internal readonly struct VectorStatistics(PortableStatistics s)
{
    private readonly Vector16 _mean = Vector16.Create(s.Mean);
    private readonly Vector16 _shift = Vector16.Create(s.Shift);

    public readonly Vector16 Rstd = Vector16.Create(s.Rstd);

    /// <summary>x − μ, without the rest of μ; x for RMSNorm.</summary>
    public Vector16 Center<N>(Vector16 x) where N : unmanaged, INormKind => N.Centers ? x - _mean : x;

    /// <summary>(x − μ)·r, or x·r for RMSNorm.</summary>
    public Vector16 Normalise<N>(Vector16 x) where N : unmanaged, INormKind => N.Centers ? Vector16.Fma(x - _mean, Rstd, _shift) : x * Rstd;
}

/// <summary>Sums over a float32 row of x, or of x + residual.</summary>
internal static class VectorRow<N, A>
    where N : unmanaged, INormKind
    where A : unmanaged, IFlag
{
    private const int Width = Vector16.Width;

    /// <summary>Whether rows of so many channels are served: whole groups of four vectors, and few enough for one chain of sums in each.</summary>
    public static bool Takes(long width) => width % (4 * Width) == 0 && width <= 16_384;

    public static Vector16 Value(ArrayView<float> x, long i, ArrayView<float> residual, long j) =>
        A.IsSet ? Vector16.Load(x, i) + Vector16.Load(residual, j) : Vector16.Load(x, i);

    public static PortableStatistics Statistics(ArrayView<float> x, long at, ArrayView<float> residual, long other, long width, float eps)
    {
        Vector16 s0 = Vector16.Zero, s1 = Vector16.Zero, s2 = Vector16.Zero, s3 = Vector16.Zero;
        for (long i = 0; i < width; i += 4 * Width)
        {
            s0 = Add(Value(x, at + i, residual, other + i), s0);
            s1 = Add(Value(x, at + i + Width, residual, other + i + Width), s1);
            s2 = Add(Value(x, at + i + (2 * Width), residual, other + i + (2 * Width)), s2);
            s3 = Add(Value(x, at + i + (3 * Width), residual, other + i + (3 * Width)), s3);
        }
        float total = Vector16.Sum(s0 + s1 + (s2 + s3));
        if (!N.Centers)
        {
            return new(0, 0, PortableStatistics.RootOfMean(total, width, eps));
        }
        total /= width;
        var mean = Vector16.Create(total);
        Vector16 rest0 = Vector16.Zero, rest1 = Vector16.Zero, squares0 = Vector16.Zero, squares1 = Vector16.Zero;
        for (long i = 0; i < width; i += 2 * Width)
        {
            var d0 = Value(x, at + i, residual, other + i) - mean;
            var d1 = Value(x, at + i + Width, residual, other + i + Width) - mean;
            (rest0, rest1) = (rest0 + d0, rest1 + d1);
            (squares0, squares1) = (Vector16.Fma(d0, d0, squares0), Vector16.Fma(d1, d1, squares1));
        }
        float rest = Vector16.Sum(rest0 + rest1) / width;
        float deviations = Builtin.Fma(-rest * width, rest, Vector16.Sum(squares0 + squares1));
        return new(total, rest, PortableStatistics.RootOfMean(MathF.Max(deviations, 0), width, eps));
    }

    private static Vector16 Add(Vector16 v, Vector16 sum) => N.Centers ? sum + v : Vector16.Fma(v, v, sum);
}
