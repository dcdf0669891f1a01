using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Arguments of the forward kernel. Strides are in elements; outputs are row-major.</summary>
internal unsafe struct NormForwardArgs
{
    public byte* X;
    public long XStride;

    /// <summary>Added to x before the norm; null for none.</summary>
    public byte* Residual;
    public long ResidualStride;

    /// <summary>[Width] float32; ones and zeros where the norm is not affine.</summary>
    public float* Gamma;
    public float* Beta;
    public byte* Y;

    /// <summary>[Rows, Width] in y's type, added to what is normalised (positions); null for none.</summary>
    public byte* Addend;

    /// <summary>x + residual, rounded to the residual's type; null without a residual.</summary>
    public byte* Sum;

    /// <summary>[Rows, 1]: r; for LayerNorm [Rows, 3]: r, μ and the rest of μ. Null at inference.</summary>
    public float* Statistics;
    public long Rows;
    public long Width;
    public double Eps;
}

/// <summary>Normalises rows [begin, end). T: type of x and y. R: type of the residual stream.</summary>
/// <remarks>A row's statistics end in a few dependent steps (sum over lanes, root, division): meanwhile the next row is read and
/// summed, before this one is written.</remarks>
internal unsafe struct NormForward<T, R, N>(NormForwardArgs args) : ICpuKernel
    where T : unmanaged, IElement
    where R : unmanaged, IElement
    where N : unmanaged, INormKind
{
    private NormForwardArgs _a = args;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long n = _a.Width;
        using var lease = Workspace.Rent(2 * n * sizeof(float));
        float* x = Read<S, V>(begin, lease.Floats), buffer = lease.Floats + n;
        float sum = RowStatistics.FirstPass<S, V, N>(x, n);
        for (long row = begin; row < end; row++)
        {
            var statistics = RowStatistics.SecondPass<S, V, N>(x, n, sum, _a.Eps);
            float* current = x;
            if (row + 1 < end)
            {
                x = Read<S, V>(row + 1, buffer);
                buffer = lease.Floats + ((row - begin) % 2 * n);
                sum = RowStatistics.FirstPass<S, V, N>(x, n);
            }
            if (_a.Statistics != null)
            {
                statistics.Save<N>(_a.Statistics, row);
            }
            Write<S, V>(current, statistics, row);
        }
    }

    private readonly float* Read<S, V>(long row, float* buffer) where S : struct, ISimd<V> where V : unmanaged
    {
        byte* x = _a.X + (row * _a.XStride * T.Size);
        return _a.Residual == null ? RowLoad.Widen<S, V, T>(x, _a.Width, buffer) : AddResidual<S, V>(x, row, buffer);
    }

    // The norm reads the unrounded float32 sum; only the stored residual is rounded.
    private readonly float* AddResidual<S, V>(byte* x, long row, float* buffer) where S : struct, ISimd<V> where V : unmanaged
    {
        byte* residual = _a.Residual + (row * _a.ResidualStride * R.Size);
        byte* sum = _a.Sum + (row * _a.Width * R.Size);
        long i = 0;
        for (; i + S.Width <= _a.Width; i += S.Width)
        {
            AddAt<S, V>(x, residual, sum, buffer, i);
        }
        for (; i < _a.Width; i++)
        {
            AddAt<SimdScalar, float>(x, residual, sum, buffer, i);
        }
        return buffer;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddAt<S, V>(byte* x, byte* residual, byte* sum, float* buffer, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        var v = S.Add(T.Load<S, V>(x, i), R.Load<S, V>(residual, i));
        S.Store(buffer + i, v);
        R.Store<S, V>(sum, i, v);
    }

    private readonly void Write<S, V>(float* x, RowStatistics statistics, long row) where S : struct, ISimd<V> where V : unmanaged
    {
        float* gamma = _a.Gamma, beta = _a.Beta;
        byte* y = _a.Y + (row * _a.Width * T.Size);
        byte* addend = _a.Addend == null ? null : _a.Addend + (row * _a.Width * T.Size);
        long i = 0, n = _a.Width;
        for (; i + S.Width <= n; i += S.Width)
        {
            WriteAt<S, V>(x, gamma, beta, addend, y, statistics, i);
        }
        for (; i < n; i++)
        {
            WriteAt<SimdScalar, float>(x, gamma, beta, addend, y, statistics, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteAt<S, V>(float* x, float* gamma, float* beta, byte* addend, byte* y, RowStatistics statistics, long i)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        var v = Normalise<S, V>(x, gamma, beta, statistics, i);
        T.Store<S, V>(y, i, addend == null ? v : S.Add(v, T.Load<S, V>(addend, i)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Normalise<S, V>(float* x, float* gamma, float* beta, RowStatistics s, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        var v = s.Normalise<S, V, N>(S.Load(x + i));
        var g = S.Load(gamma + i);
        return N.Centers ? S.Fma(v, g, S.Load(beta + i)) : S.Mul(v, g);
    }
}

/// <summary>Mean (in two parts, the second below float32's resolution of the first) and 1/√(σ² + ε) of a row.</summary>
internal readonly unsafe struct RowStatistics(float mean, float meanRest, float rstd)
{
    public readonly float Mean = mean;
    public readonly float MeanRest = meanRest;
    public readonly float Rstd = rstd;

    /// <summary>Numbers saved per row.</summary>
    public static int Count<N>() where N : struct, INormKind => N.Centers ? 3 : 1;

    public void Save<N>(float* statistics, long row) where N : struct, INormKind
    {
        float* at = statistics + (row * Count<N>());
        at[0] = Rstd;
        if (N.Centers)
        {
            at[1] = Mean;
            at[2] = MeanRest;
        }
    }

    public static RowStatistics Load<N>(float* statistics, long row) where N : struct, INormKind
    {
        float* at = statistics + (row * Count<N>());
        return N.Centers ? new(at[1], at[2], at[0]) : new(0, 0, at[0]);
    }

    /// <summary>(x − μ)·r, or x·r for RMSNorm.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Normalise<S, V, N>(V x) where S : struct, ISimd<V> where V : unmanaged where N : struct, INormKind
    {
        if (N.Centers)
        {
            x = S.Sub(S.Sub(x, S.Create(Mean)), S.Create(MeanRest));
        }
        return S.Mul(x, S.Create(Rstd));
    }

    /// <remarks>Two passes, since E[x²] − μ² cancels once |μ| is far above σ, as in the last ViT blocks. The second pass
    /// also corrects the mean by what the first one lost. Source: Chan, Golub and LeVeque 1983, eq. 1.7.</remarks>
    public static RowStatistics Of<S, V, N>(float* x, long n, double eps)
        where S : struct, ISimd<V>
        where V : unmanaged
        where N : struct, INormKind => SecondPass<S, V, N>(x, n, FirstPass<S, V, N>(x, n), eps);

    /// <summary>Σ x; for RMSNorm Σ x².</summary>
    public static float FirstPass<S, V, N>(float* x, long n)
        where S : struct, ISimd<V>
        where V : unmanaged
        where N : struct, INormKind => N.Centers ? RowSum.Over<S, V, Values>(new(x), n).First : RowSum.Over<S, V, Squares>(new(x), n).First;

    /// <summary>The statistics, with what <see cref="FirstPass"/> gave.</summary>
    public static RowStatistics SecondPass<S, V, N>(float* x, long n, float sum, double eps)
        where S : struct, ISimd<V>
        where V : unmanaged
        where N : struct, INormKind
    {
        if (!N.Centers)
        {
            return new(0, 0, Rsqrt((sum / (double)n) + eps));
        }
        float mean = (float)(sum / (double)n);
        var (rest, deviations) = RowSum.Over<S, V, Deviations>(new(x, mean), n);
        double meanRest = rest / (double)n;
        double variance = Math.Max(0, (deviations / (double)n) - (meanRest * meanRest));
        return new(mean, (float)meanRest, Rsqrt(variance + eps));
    }

    private static float Rsqrt(double value) => (float)(1 / Math.Sqrt(value));

    private readonly struct Values(float* x) : IRowTerms
    {
        private readonly float* _x = x;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged =>
            first = S.Add(first, S.Load(_x + i));
    }

    private readonly struct Squares(float* x) : IRowTerms
    {
        private readonly float* _x = x;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged
        {
            var v = S.Load(_x + i);
            first = S.Fma(v, v, first);
        }
    }

    private readonly struct Deviations(float* x, float mean) : IRowTerms
    {
        private readonly float* _x = x;
        private readonly float _mean = mean;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged
        {
            var d = S.Sub(S.Load(_x + i), S.Create(_mean));
            first = S.Add(first, d);
            second = S.Fma(d, d, second);
        }
    }
}
