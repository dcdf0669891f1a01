using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Arguments of the backward kernel. Strides are in elements; outputs are row-major.</summary>
internal unsafe struct NormBackwardArgs
{
    /// <summary>What was normalised: x, or the rounded sum x + residual.</summary>
    public byte* X;
    public long XStride;
    public byte* Dy;
    public long DyStride;

    /// <summary>Gradient of the residual output; null for none.</summary>
    public byte* DSum;
    public long DSumStride;
    public float* Gamma;
    public float* Statistics;

    /// <summary>X is a sum that was rounded to its type: its statistics are taken again, since those saved are of the unrounded
    /// sum, and at small widths the difference is all there is.</summary>
    public bool OfRoundedSum;
    public double Eps;

    /// <summary>Gradient of x in y's type; null if not wanted.</summary>
    public byte* Dx;

    /// <summary>The same gradient in the residual's type, where that differs; null if not wanted.</summary>
    public byte* DResidual;

    /// <summary>[Chunks, 2, Width]: dγ and dβ of each chunk of rows ([Chunks, 1, Width] for RMSNorm); null if not wanted.</summary>
    public float* Partials;
    public long Rows;
    public long RowsPerChunk;
    public long Width;
}

/// <summary>Gradients of chunks [begin, end) of rows. T: type of y. R: type of the normalised tensor.</summary>
/// <remarks>
/// With x̂ = (x − μ)·r and g = dy·γ:
/// dx = r·(g − mean(g) − x̂·mean(g·x̂)), without mean(g) for RMSNorm; dγ = Σ dy·x̂; dβ = Σ dy.
/// A row of x and dy is read from memory once; the second pass finds it in the first-level cache.
/// dγ and dβ: one partial sum per fixed chunk of rows, added in chunk order, so that the thread count changes nothing.
/// </remarks>
internal unsafe struct NormBackward<T, R, N>(NormBackwardArgs args) : ICpuKernel
    where T : unmanaged, IElement
    where R : unmanaged, IElement
    where N : unmanaged, INormKind
{
    private NormBackwardArgs _a = args;

    /// <summary>Floats of one chunk's partial sums.</summary>
    public static long PartialSize(long width) => N.Centers ? 2 * width : width;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        using var lease = Workspace.Rent(4 * _a.Width * sizeof(float));
        for (long chunk = begin; chunk < end; chunk++)
        {
            // Without partials wanted, the sums go to scratch that nobody reads.
            long size = PartialSize(_a.Width);
            float* partial = _a.Partials == null ? lease.Floats + (2 * _a.Width) : _a.Partials + (chunk * size);
            NativeMemory.Clear(partial, (nuint)(size * sizeof(float)));
            long stop = Math.Min(_a.Rows, (chunk + 1) * _a.RowsPerChunk);
            for (long row = chunk * _a.RowsPerChunk; row < stop; row++)
            {
                Row<S, V>(row, lease.Floats, partial);
            }
        }
    }

    private readonly void Row<S, V>(long row, float* buffer, float* partial) where S : struct, ISimd<V> where V : unmanaged
    {
        long n = _a.Width;
        float* x = RowLoad.Widen<S, V, R>(_a.X + (row * _a.XStride * R.Size), n, buffer);
        float* dy = RowLoad.Widen<S, V, T>(_a.Dy + (row * _a.DyStride * T.Size), n, buffer + n);
        var statistics = _a.OfRoundedSum ? RowStatistics.Of<S, V, N>(x, n, _a.Eps) : RowStatistics.Load<N>(_a.Statistics, row);
        var terms = new Terms(x, dy, _a.Gamma, partial, partial + n, statistics);
        var (g, gx) = RowSum.Over<S, V, Terms>(terms, n);
        if (_a.Dx == null && _a.DResidual == null)
        {
            return;
        }
        var input = new InputGradient(terms, g / n, gx / n);
        byte* dSum = _a.DSum == null ? null : _a.DSum + (row * _a.DSumStride * R.Size);
        byte* dx = _a.Dx == null ? null : _a.Dx + (row * n * T.Size);
        byte* dResidual = _a.DResidual == null ? null : _a.DResidual + (row * n * R.Size);
        long i = 0;
        for (; i + S.Width <= n; i += S.Width)
        {
            Store<S, V>(input.At<S, V>(i), dSum, dx, dResidual, i);
        }
        for (; i < n; i++)
        {
            Store<SimdScalar, float>(input.At<SimdScalar, float>(i), dSum, dx, dResidual, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<S, V>(V gradient, byte* dSum, byte* dx, byte* dResidual, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        if (dSum != null)
        {
            gradient = S.Add(gradient, R.Load<S, V>(dSum, i));
        }
        if (dx != null)
        {
            T.Store<S, V>(dx, i, gradient);
        }
        if (dResidual != null)
        {
            R.Store<S, V>(dResidual, i, gradient);
        }
    }

    /// <summary>Σ g and Σ g·x̂ of a row; adds the row to dγ and dβ on the way.</summary>
    private readonly struct Terms(float* x, float* dy, float* gamma, float* dGamma, float* dBeta, RowStatistics statistics) : IRowTerms
    {
        public readonly float* X = x, Dy = dy, Gamma = gamma;
        public readonly RowStatistics Statistics = statistics;
        private readonly float* _dGamma = dGamma, _dBeta = dBeta;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V Normalised<S, V>(long i) where S : struct, ISimd<V> where V : unmanaged =>
            Statistics.Normalise<S, V, N>(S.Load(X + i));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged
        {
            var normalised = Normalised<S, V>(i);
            var dy = S.Load(Dy + i);
            var g = S.Mul(dy, S.Load(Gamma + i));
            second = S.Fma(g, normalised, second);
            S.Store(_dGamma + i, S.Fma(dy, normalised, S.Load(_dGamma + i)));
            if (N.Centers)
            {
                first = S.Add(first, g);
                S.Store(_dBeta + i, S.Add(dy, S.Load(_dBeta + i)));
            }
        }
    }

    private readonly struct InputGradient(Terms terms, float meanG, float meanGx)
    {
        private readonly Terms _terms = terms;
        private readonly float _meanG = meanG, _meanGx = meanGx;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<S, V>(long i) where S : struct, ISimd<V> where V : unmanaged
        {
            var g = S.Mul(S.Load(_terms.Dy + i), S.Load(_terms.Gamma + i));
            if (N.Centers)
            {
                g = S.Sub(g, S.Create(_meanG));
            }
            return S.Mul(S.NegFma(_terms.Normalised<S, V>(i), S.Create(_meanGx), g), S.Create(_terms.Statistics.Rstd));
        }
    }
}
