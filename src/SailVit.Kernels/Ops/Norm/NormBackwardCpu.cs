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
/// Rows go in groups that stay in the second-level cache: first the two means of each row, then column by column down the
/// rows of the group, so that dγ and dβ are summed in registers instead of being loaded and stored for every row.
/// dγ and dβ: one partial sum per fixed chunk of rows, added in chunk order, so that the thread count changes nothing.
/// </remarks>
internal unsafe struct NormBackward<T, R, N>(NormBackwardArgs args) : ICpuKernel
    where T : unmanaged, IElement
    where R : unmanaged, IElement
    where N : unmanaged, INormKind
{
    // x and dy of a group: half of a small second-level cache.
    private const long GroupBytes = 256 << 10;

    private NormBackwardArgs _a = args;

    /// <summary>Floats of one chunk's partial sums.</summary>
    public static long PartialSize(long width) => N.Centers ? 2 * width : width;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long n = _a.Width, size = PartialSize(n);
        // The order of the sums is that of the rows, wherever the groups end.
        long group = Math.Clamp(GroupBytes / (n * (T.Size + R.Size)), 1, _a.RowsPerChunk);
        using var scratch = Workspace.Rent((n + size) * sizeof(float));
        using var lease = Workspace.Rent(group * sizeof(Row));
        var rows = (Row*)lease.Pointer;
        for (long chunk = begin; chunk < end; chunk++)
        {
            // Without partials wanted, the sums go to scratch that nobody reads.
            float* partial = _a.Partials == null ? scratch.Floats + n : _a.Partials + (chunk * size);
            NativeMemory.Clear(partial, (nuint)(size * sizeof(float)));
            long stop = Math.Min(_a.Rows, (chunk + 1) * _a.RowsPerChunk);
            for (long first = chunk * _a.RowsPerChunk; first < stop; first += group)
            {
                long count = Math.Min(group, stop - first);
                for (long i = 0; i < count; i++)
                {
                    rows[i] = RowAt<S, V>(first + i, scratch.Floats);
                }
                Columns<S, V>(rows, count, partial);
            }
        }
    }

    private readonly Row RowAt<S, V>(long row, float* buffer) where S : struct, ISimd<V> where V : unmanaged
    {
        long n = _a.Width;
        byte* x = _a.X + (row * _a.XStride * R.Size);
        byte* dy = _a.Dy + (row * _a.DyStride * T.Size);
        var statistics = _a.OfRoundedSum
            ? RowStatistics.Of<S, V, N>(RowLoad.Widen<S, V, R>(x, n, buffer), n, _a.Eps)
            : RowStatistics.Load<N>(_a.Statistics, row);
        bool inputWanted = _a.Dx != null || _a.DResidual != null;
        var (g, gx) = inputWanted ? RowSum.Over<S, V, Terms>(new(x, dy, _a.Gamma, statistics.Mean), n) : default;
        float r = statistics.Rstd;
        return new()
        {
            X = x,
            Dy = dy,
            DSum = _a.DSum == null ? null : _a.DSum + (row * _a.DSumStride * R.Size),
            Dx = _a.Dx == null ? null : _a.Dx + (row * n * T.Size),
            DResidual = _a.DResidual == null ? null : _a.DResidual + (row * n * R.Size),
            Mean = statistics.Mean,
            Rstd = r,
            // Nothing times an infinite r, of a row without any deviation, would be NaN.
            Shift = statistics.MeanRest == 0 ? 0 : -statistics.MeanRest * r,
            MeanG = g / n,
            MeanGx = (gx - (statistics.MeanRest * g)) * r / n,
        };
    }

    private readonly void Columns<S, V>(Row* rows, long count, float* partial) where S : struct, ISimd<V> where V : unmanaged
    {
        long i = 0, n = _a.Width;
        for (; i + (4 * S.Width) <= n; i += 4 * S.Width)
        {
            FourColumns<S, V>(rows, count, partial, i);
        }
        for (; i + S.Width <= n; i += S.Width)
        {
            OneColumn<S, V>(rows, count, partial, i);
        }
        for (; i < n; i++)
        {
            OneColumn<SimdScalar, float>(rows, count, partial, i);
        }
    }

    // Four vectors, so that what belongs to a row is fetched once for all of them.
    private readonly void FourColumns<S, V>(Row* rows, long count, float* partial, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        long i1 = i + S.Width, i2 = i1 + S.Width, i3 = i2 + S.Width;
        float* gamma = _a.Gamma, dGamma = partial, dBeta = partial + _a.Width;
        V gamma0 = S.Load(gamma + i), gamma1 = S.Load(gamma + i1), gamma2 = S.Load(gamma + i2), gamma3 = S.Load(gamma + i3);
        V g0 = S.Load(dGamma + i), g1 = S.Load(dGamma + i1), g2 = S.Load(dGamma + i2), g3 = S.Load(dGamma + i3);
        V b0 = LoadBeta<S, V>(dBeta + i), b1 = LoadBeta<S, V>(dBeta + i1), b2 = LoadBeta<S, V>(dBeta + i2), b3 = LoadBeta<S, V>(dBeta + i3);
        for (Row* row = rows; row < rows + count; row++)
        {
            V mean = S.Create(row->Mean), rstd = S.Create(row->Rstd), shift = S.Create(row->Shift);
            V meanG = S.Create(row->MeanG), meanGx = S.Create(row->MeanGx);
            Element<S, V>(row, mean, rstd, shift, meanG, meanGx, i, gamma0, ref g0, ref b0);
            Element<S, V>(row, mean, rstd, shift, meanG, meanGx, i1, gamma1, ref g1, ref b1);
            Element<S, V>(row, mean, rstd, shift, meanG, meanGx, i2, gamma2, ref g2, ref b2);
            Element<S, V>(row, mean, rstd, shift, meanG, meanGx, i3, gamma3, ref g3, ref b3);
        }
        Store<S, V>(dGamma + i, dBeta + i, g0, b0);
        Store<S, V>(dGamma + i1, dBeta + i1, g1, b1);
        Store<S, V>(dGamma + i2, dBeta + i2, g2, b2);
        Store<S, V>(dGamma + i3, dBeta + i3, g3, b3);
    }

    private readonly void OneColumn<S, V>(Row* rows, long count, float* partial, long i) where S : struct, ISimd<V> where V : unmanaged
    {
        float* dGamma = partial + i, dBeta = partial + _a.Width + i;
        V gamma = S.Load(_a.Gamma + i), g = S.Load(dGamma), b = LoadBeta<S, V>(dBeta);
        for (Row* row = rows; row < rows + count; row++)
        {
            V mean = S.Create(row->Mean), rstd = S.Create(row->Rstd), shift = S.Create(row->Shift);
            Element<S, V>(row, mean, rstd, shift, S.Create(row->MeanG), S.Create(row->MeanGx), i, gamma, ref g, ref b);
        }
        Store<S, V>(dGamma, dBeta, g, b);
    }

    // By value what the row's own stores might otherwise seem to change.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Element<S, V>(Row* row, V mean, V rstd, V shift, V meanG, V meanGx, long i, V gamma, ref V dGamma, ref V dBeta)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        var x = R.Load<S, V>(row->X, i);
        var normalised = N.Centers ? S.Fma(S.Sub(x, mean), rstd, shift) : S.Mul(x, rstd);
        var dy = T.Load<S, V>(row->Dy, i);
        dGamma = S.Fma(dy, normalised, dGamma);
        var g = S.Mul(dy, gamma);
        if (N.Centers)
        {
            dBeta = S.Add(dy, dBeta);
            // Before anything is rounded: at width 1 nothing must be left.
            g = S.Sub(g, meanG);
        }
        var gradient = S.Mul(S.NegFma(normalised, meanGx, g), rstd);
        if (row->DSum != null)
        {
            gradient = S.Add(gradient, R.Load<S, V>(row->DSum, i));
        }
        if (row->Dx != null)
        {
            T.Store<S, V>(row->Dx, i, gradient);
        }
        if (row->DResidual != null)
        {
            R.Store<S, V>(row->DResidual, i, gradient);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V LoadBeta<S, V>(float* dBeta) where S : struct, ISimd<V> where V : unmanaged => N.Centers ? S.Load(dBeta) : S.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<S, V>(float* dGamma, float* dBeta, V g, V b) where S : struct, ISimd<V> where V : unmanaged
    {
        S.Store(dGamma, g);
        if (N.Centers)
        {
            S.Store(dBeta, b);
        }
    }

    /// <summary>A row of a group: where it is (null for what is absent) and what its columns need of it.</summary>
    private struct Row
    {
        public byte* X, Dy, DSum, Dx, DResidual;

        // x̂ = (x − Mean)·Rstd + Shift.
        public float Mean, Rstd, Shift, MeanG, MeanGx;
    }

    /// <summary>Σ g and Σ g·(x − mean) of a row.</summary>
    private readonly struct Terms(byte* x, byte* dy, float* gamma, float mean) : IRowTerms
    {
        private readonly byte* _x = x, _dy = dy;
        private readonly float* _gamma = gamma;
        private readonly float _mean = mean;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged
        {
            var g = S.Mul(T.Load<S, V>(_dy, i), S.Load(_gamma + i));
            var d = R.Load<S, V>(_x, i);
            if (N.Centers)
            {
                d = S.Sub(d, S.Create(_mean));
            }
            second = S.Fma(g, d, second);
            if (N.Centers)
            {
                first = S.Add(first, g);
            }
        }
    }
}
