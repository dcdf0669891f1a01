using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Both norms of float32 rows on a processor: a work-item per row, four vectors at a time. A: whether there is a residual.</summary>
/// <remarks>The arithmetic of <see cref="NormPortableForward{T, R, N, A, L}"/>. Where a loop over channels leaves the vectors to the
/// device's compiler, it stops every 256 channels to add them up, and takes half as long again. Backward gained nothing by this.</remarks>
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

/// <summary>A row's statistics in every lane.</summary>
internal readonly struct VectorStatistics(PortableStatistics s)
{
    private readonly Vector16 _mean = Vector16.Create(s.Mean);
    private readonly Vector16 _shift = Vector16.Create(s.Shift);
    private readonly Vector16 _rstd = Vector16.Create(s.Rstd);

    /// <summary>(x − μ)·r, or x·r for RMSNorm.</summary>
    public Vector16 Normalise<N>(Vector16 x) where N : unmanaged, INormKind => N.Centers ? Vector16.Fma(x - _mean, _rstd, _shift) : x * _rstd;
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
