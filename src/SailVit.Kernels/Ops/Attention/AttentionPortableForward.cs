using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>softmax(scale·Q·Kᵀ + mask)·V on a device: a work-group per strip of 32 queries, its scores of one block of keys in local memory.</summary>
/// <remarks>T: type of the output. M: mask. R: rows of a register tile. L: one work-item, or one per query. No work-item reads what another
/// wrote, so there is no barrier. The arithmetic is that of <see cref="AttentionForward"/>.</remarks>
internal static class AttentionPortableForward<T, M, R, L>
    where T : unmanaged, IPortableElement<T>
    where M : unmanaged, IMaskElement<M>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;

    /// <summary>One per dtype, mask and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    // Keys per step of the online softmax.
    private static int KeyBlock => L.Count == 1 ? 128 : Strip;

    // Of a power of two, the rows of neighbouring work-items would lie in the same bank.
    private static int Step => L.Count == 1 ? KeyBlock : KeyBlock + 1;

    /// <param name="units">What there is to do.</param>
    /// <param name="q">Strips, by channels for one lane, by tokens for many.</param>
    /// <param name="k">By tokens.</param>
    /// <param name="v">By channels.</param>
    /// <param name="mask">By its strides.</param>
    /// <param name="sums">Scratch: [strip, 32, padded D].</param>
    /// <param name="output">By its strides.</param>
    /// <param name="lse">By row.</param>
    /// <param name="statistics">Maxima by row, then sums.</param>
    /// <param name="a">Scalars.</param>
    private static void Run(
        ArrayView<AttentionUnit> units, ArrayView<float> q, ArrayView<float> k, ArrayView<float> v, ArrayView<M> mask, ArrayView<float> sums,
        ArrayView<T> output, ArrayView<float> lse, ArrayView<float> statistics, AttentionScalars a)
    {
        var scores = SharedMemory.Allocate<float>(Strip * Step);
        var max = SharedMemory.Allocate<float>(Strip);
        var total = SharedMemory.Allocate<float>(Strip);
        var factors = SharedMemory.Allocate<float>(Strip);
        var p = StripPlace.OfQueries(units, a.Units, a.Group, Grid.IdxX);
        long rows = Math.Min(Strip, p.Unit.Queries - p.First), keyStrips = AttentionUnit.StripsOf(p.Unit.Keys);
        long before = p.Unit.KeysBefore + p.First;
        long visible = a.Causal != 0 ? Math.Min(p.Unit.Keys, before + rows) : p.Unit.Keys;
        long queryAt = StripProduct<R, L>.RowsAt(p, a.Width), keyAt = p.Unit.KeyStrips * Strip * a.Width;
        long valueAt = p.Unit.KeyStrips * Strip * StripProduct.Padded(a.Width), sumsAt = p.Index * Strip * StripProduct.Padded(a.Width);
        for (long r = Group.IdxX; r < rows; r += L.Count)
        {
            max[r] = float.NegativeInfinity;
            total[r] = 0;
        }
        for (long key = 0; key < visible; key += KeyBlock)
        {
            long count = Math.Min(KeyBlock, visible - key), padded = StripProduct.Padded(count);
            for (long j = 0; j < count; j += Strip)
            {
                StripProduct<R, L>.Multiply(q, queryAt, StripProduct.ChannelStep(p), k, keyAt + ((key + j) * a.Width), a.Width, AttentionScores.ScoreDepth, rows, scores, j, Step);
            }
            for (long r = Group.IdxX; r < rows; r += L.Count)
            {
                long shown = a.Causal != 0 ? Math.Max(0, Math.Min(count, before + r + 1 - key)) : count;
                AttentionPortable.Mask(scores, r * Step, shown, mask, a.Mask(p) + ((p.First + r) * a.MaskQuery) + (key * a.MaskKey), a.MaskKey, a.Factor);
                AttentionPortable.Hide(scores, r * Step, shown, padded);
                factors[r] = AttentionPortable.Exponentiate(scores, r * Step, padded, a.Power, max, total, r);
            }
            StripProduct<R, L>.Accumulate(
                scores, Step, v, valueAt + (key * Strip), keyStrips * Strip * Strip, count, a.Width, rows, sums, sumsAt, factors, true, key == 0);
        }
        for (long r = Group.IdxX; r < rows; r += L.Count)
        {
            Finish(p, r, sums, sumsAt + (r * StripProduct.Padded(a.Width)), max[r], total[r], output, lse, statistics, a);
        }
    }

    /// <summary>Divides a row's sums of values by its sum of powers, and stores.</summary>
    private static void Finish(
        StripPlace p, long r, ArrayView<float> sums, long from, float max, float total, ArrayView<T> output, ArrayView<float> lse, ArrayView<float> statistics, AttentionScalars a)
    {
        long row = p.First + r, at = a.Statistic(p, row);
        long to = (p.Unit.Batch * a.Batch) + ((p.Unit.FirstQuery + row) * a.Row) + (((p.Unit.KvHead * a.Group) + p.Head) * a.Head);
        if (total == 0)
        {
            // Nothing to attend to: 0, also where a value is not finite.
            for (long d = 0; d < a.Width; d++)
            {
                output[to + d] = T.Write(0);
            }
        }
        else
        {
            float inverse = 1 / total;
            for (long d = 0; d < a.Width; d++)
            {
                output[to + d] = T.Write(sums[from + d] * inverse);
            }
        }
        if (a.WantsLse != 0)
        {
            lse[at] = (max * a.ScoreUnit) + MathF.Log(total);
        }
        if (a.WantsStatistics != 0)
        {
            statistics[at] = total == 0 ? 0 : max;
            statistics[a.StatisticsLength + at] = total;
        }
    }
}
