using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Scalars of the kernels of a device. Strides are in elements; flags are 0 or 1.</summary>
internal struct AttentionScalars
{
    public long Units;
    public long Group;
    public long Width;

    /// <summary>Of the output.</summary>
    public long Batch;
    public long Row;
    public long Head;

    public long MaskBatch;
    public long MaskHead;
    public long MaskQuery;
    public long MaskKey;

    /// <summary>Where the statistics of a row of queries lie; see <see cref="RowStatistics"/>.</summary>
    public long StatisticsBatch;
    public long StatisticsHead;
    public long StatisticsLength;

    /// <summary>From scores to powers of two.</summary>
    public Exp2Unit Power;

    /// <summary>Of scores before a mask is added; 1 where the scale is part of <see cref="Power"/>.</summary>
    public float Factor;

    /// <summary>Natural logarithms per unit of score.</summary>
    public float ScoreUnit;

    public int Causal;
    public int WantsLse;
    public int WantsStatistics;

    public readonly long Mask(in StripPlace p) => (p.Unit.Batch * MaskBatch) + (((p.Unit.KvHead * Group) + p.Head) * MaskHead);

    public readonly long Statistic(in StripPlace p, long row) =>
        (p.Unit.Batch * StatisticsBatch) + (((p.Unit.KvHead * Group) + p.Head) * StatisticsHead) + p.Unit.FirstQuery + row;
}

/// <summary>Row work between the products; the arithmetic is that of <see cref="AttentionScores"/>.</summary>
internal static class AttentionPortable
{
    /// <summary>Scales scores and adds the mask.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Mask<M>(ArrayView<float> scores, long at, long count, ArrayView<M> mask, long maskAt, long stride, float factor) where M : unmanaged, IMaskElement<M>
    {
        if (M.Exists)
        {
            for (long j = 0; j < count; j++)
            {
                scores[at + j] = M.Apply(mask[maskAt + (j * stride)], scores[at + j], factor);
            }
        }
        else if (factor != 1)
        {
            var factors = Vector16.Create(factor);
            for (long j = 0; j < count; j += Vector16.Width)
            {
                (Vector16.Load(scores, at + j) * factors).Store(scores, at + j);
            }
        }
    }

    /// <summary>−∞ for scores [begin, end).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Hide(ArrayView<float> scores, long at, long begin, long end)
    {
        for (long j = begin; j < end; j++)
        {
            scores[at + j] = float.NegativeInfinity;
        }
    }

    /// <summary>Sets the gradient of hidden scores, which are constants, to 0 where 0 · dP is not: in rows that are not finite.</summary>
    /// <param name="slopes">One row.</param>
    /// <param name="at">Its first element.</param>
    /// <param name="begin">First score before the diagonal that is seen.</param>
    /// <param name="end">One more than the last that is.</param>
    /// <param name="count">Scores.</param>
    /// <param name="mask">By its strides.</param>
    /// <param name="maskAt">Of the first score.</param>
    /// <param name="stride">From one score to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ClearHidden<M>(ArrayView<float> slopes, long at, long begin, long end, long count, ArrayView<M> mask, long maskAt, long stride) where M : unmanaged, IMaskElement<M>
    {
        for (long j = 0; j < count; j++)
        {
            if (j < begin || j >= end || (M.Hides && M.IsHidden(mask[maskAt + (j * stride)])))
            {
                slopes[at + j] = 0;
            }
        }
    }

    /// <summary>One step of the online softmax of a row: scores become powers of score − max.</summary>
    /// <param name="scores">One row, padded with −∞ to full strips.</param>
    /// <param name="at">Its first element.</param>
    /// <param name="padded">Its length, a multiple of 32.</param>
    /// <param name="unit">From scores to powers of two.</param>
    /// <param name="max">Largest score so far, by row.</param>
    /// <param name="sum">Sum of the powers so far, by row.</param>
    /// <param name="r">The row.</param>
    /// <returns>What earlier results must be multiplied by.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Exponentiate(ArrayView<float> scores, long at, long padded, Exp2Unit unit, ArrayView<float> max, ArrayView<float> sum, long r)
    {
        var largest = Vector16.Load(scores, at);
        for (long j = Vector16.Width; j < padded; j += Vector16.Width)
        {
            largest = Vector16.Max(largest, Vector16.Load(scores, at + j));
        }
        float before = max[r], total = sum[r], correction = 1, now = before, block = Vector16.Largest(largest);
        if (block > before)
        {
            correction = SimdMath.Exp2<PortableSimd, float>(before - block, unit);
            total *= correction;
            now = block;
        }
        // Fully masked so far: 2^(−∞ − 0) = 0 instead of 2^(−∞ + ∞).
        var origin = Vector16.Create(now > float.NegativeInfinity ? now : 0);
        Vector16 even = Vector16.Zero, odd = even;
        for (long j = 0; j < padded; j += RowTile.Columns)
        {
            var first = SimdMath.Exp2<PortableVector, Vector16>(Vector16.Load(scores, at + j) - origin, unit);
            var second = SimdMath.Exp2<PortableVector, Vector16>(Vector16.Load(scores, at + j + Vector16.Width) - origin, unit);
            first.Store(scores, at + j);
            second.Store(scores, at + j + Vector16.Width);
            even += first;
            odd += second;
        }
        max[r] = now;
        sum[r] = total + Vector16.Sum(even + odd);
        return correction;
    }
}
