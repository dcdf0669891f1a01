using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Scores become P, products with dO become dS; the arithmetic is that of <see cref="AttentionBackward"/>.</summary>
internal static class AttentionPortableSlopes
{
    /// <summary>A row of queries: P = e^(S − max)/sum in place of scores; returns Σ P∘dP.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Probabilities(ArrayView<float> scores, ArrayView<float> slopes, long at, long padded, Exp2Unit power, float max, float high, float low)
    {
        Vector16 origin = Vector16.Create(max), first = Vector16.Create(high), second = Vector16.Create(low);
        Vector16 even = Vector16.Zero, odd = even;
        for (long j = 0; j < padded; j += RowTile.Columns)
        {
            var low0 = Probability(scores, at + j, power, origin, first, second);
            var high0 = Probability(scores, at + j + Vector16.Width, power, origin, first, second);
            even = Vector16.Fma(low0, Vector16.Load(slopes, at + j), even);
            odd = Vector16.Fma(high0, Vector16.Load(slopes, at + j + Vector16.Width), odd);
            low0.Store(scores, at + j);
            high0.Store(scores, at + j + Vector16.Width);
        }
        return Vector16.Sum(even + odd);
    }

    /// <summary>A row of queries: dS = P∘(dP − Δ + dlse) in place of dP; returns Σ dS, which is NaN if one of them is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Slopes(ArrayView<float> scores, ArrayView<float> slopes, long at, long padded, float delta, float lseGrad)
    {
        Vector16 shift = Vector16.Create(delta), added = Vector16.Create(lseGrad), sum = Vector16.Zero;
        for (long j = 0; j < padded; j += Vector16.Width)
        {
            var slope = Vector16.Load(scores, at + j) * (Vector16.Load(slopes, at + j) - shift + added);
            slope.Store(slopes, at + j);
            sum += slope;
        }
        return Vector16.Sum(sum);
    }

    /// <summary>A row of keys: P in place of scores, dS in place of dP. Queries that attend to nothing have no part.
    /// Returns Σ dS, which is NaN if one of them is.</summary>
    /// <param name="scores">One row.</param>
    /// <param name="slopes">The same of dP.</param>
    /// <param name="at">First element of both.</param>
    /// <param name="padded">Length, a multiple of 32.</param>
    /// <param name="power">From scores to powers of two.</param>
    /// <param name="rows">See <see cref="QueryRow"/>.</param>
    /// <param name="rowsAt">Of the first query.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float OfKey(ArrayView<float> scores, ArrayView<float> slopes, long at, long padded, Exp2Unit power, ArrayView<float> rows, long rowsAt)
    {
        var sum = Vector16.Zero;
        for (long j = 0; j < padded; j += Vector16.Width)
        {
            long row = rowsAt + (j / RowTile.Columns * (QueryRow.Fields * RowTile.Columns)) + (j % RowTile.Columns);
            var high = Vector16.Load(rows, row + QueryRow.High);
            var p = Probability(scores, at + j, power, Vector16.Load(rows, row + QueryRow.Max), high, Vector16.Load(rows, row + QueryRow.Low));
            var slope = p * (Vector16.Load(slopes, at + j) - Vector16.Load(rows, row + QueryRow.Delta) + Vector16.Load(rows, row + QueryRow.LseGrad));
            slope = Vector16.WhereNonzero(high, slope);
            Vector16.WhereNonzero(high, p).Store(scores, at + j);
            slope.Store(slopes, at + j);
            sum += slope;
        }
        return Vector16.Sum(sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector16 Probability(ArrayView<float> scores, long at, Exp2Unit power, Vector16 max, Vector16 high, Vector16 low)
    {
        var p = SimdMath.Exp2<PortableVector, Vector16>(Vector16.Load(scores, at) - max, power);
        return Vector16.Fma(p, high, p * low);
    }
}
