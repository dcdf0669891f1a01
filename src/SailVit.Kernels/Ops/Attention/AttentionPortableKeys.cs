using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>dSᵀ·Q and Pᵀ·dO on a device, the gradients of keys and values but for the scale: a work-group per strip of 32 keys,
/// through all queries of all heads that use them, always in the same order.</summary>
/// <remarks>Type parameters as in the forward kernel; rows are keys here.</remarks>
internal static class AttentionPortableKeys<M, R, L>
    where M : unmanaged, IMaskElement<M>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;

    /// <summary>One per mask and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static int QueryBlock => L.Count == 1 ? 128 : Strip;

    private static int Step => L.Count == 1 ? QueryBlock : QueryBlock + 1;

    /// <param name="units">What there is to do.</param>
    /// <param name="k">Strips, by channels for one lane, by tokens for many.</param>
    /// <param name="v">The same.</param>
    /// <param name="q">By tokens.</param>
    /// <param name="grad">dO by tokens.</param>
    /// <param name="queryChannels">Queries by channels.</param>
    /// <param name="gradChannels">dO by channels.</param>
    /// <param name="mask">By its strides.</param>
    /// <param name="queryRows">See <see cref="QueryRow"/>.</param>
    /// <param name="sumsK">Result: [strip, 32, padded D].</param>
    /// <param name="sumsV">Result: [strip, 32, padded D].</param>
    /// <param name="a">Scalars.</param>
    private static void Run(
        ArrayView<AttentionUnit> units, ArrayView<float> k, ArrayView<float> v, ArrayView<float> q, ArrayView<float> grad, ArrayView<float> queryChannels,
        ArrayView<float> gradChannels, ArrayView<M> mask, ArrayView<float> queryRows, ArrayView<float> sumsK, ArrayView<float> sumsV, AttentionScalars a)
    {
        var scores = SharedMemory.Allocate<float>(Strip * Step);
        var slopes = SharedMemory.Allocate<float>(Strip * Step);
        var p = StripPlace.OfKeys(units, a.Units, Grid.IdxX);
        long rows = Math.Min(Strip, p.Unit.Keys - p.First), strips = AttentionUnit.StripsOf(p.Unit.Queries);
        long padded = StripProduct.Padded(a.Width), sumsAt = p.Index * Strip * padded, queryStep = strips * Strip * Strip;
        long leftAt = StripProduct<R, L>.RowsAt(p, a.Width), step = StripProduct.ChannelStep(p);
        // Earlier queries see none of these keys.
        long start = a.Causal != 0 ? Math.Max(0, p.First - p.Unit.KeysBefore) / Strip * Strip : 0;
        bool begins = true;
        for (long h = 0; h < a.Group; h++)
        {
            long headIndex = p.Unit.QueryStrips + (h * strips);
            for (long query = start; query < p.Unit.Queries; query += QueryBlock)
            {
                long count = Math.Min(QueryBlock, p.Unit.Queries - query), index = headIndex + (query / Strip);
                for (long j = 0; j < count; j += Strip)
                {
                    long columnsAt = ((index * Strip) + j) * a.Width;
                    StripProduct<R, L>.Multiply(k, leftAt, step, q, columnsAt, a.Width, AttentionScores.ScoreDepth, rows, scores, j, Step);
                    StripProduct<R, L>.Multiply(v, leftAt, step, grad, columnsAt, a.Width, AttentionScores.SlopeDepth, rows, slopes, j, Step);
                }
                long maskAt = (p.Unit.Batch * a.MaskBatch) + (((p.Unit.KvHead * a.Group) + h) * a.MaskHead) + (query * a.MaskQuery) + (p.First * a.MaskKey);
                for (long r = Group.IdxX; r < rows; r += L.Count)
                {
                    AttentionPortable.Mask(scores, r * Step, count, mask, maskAt + (r * a.MaskKey), a.MaskQuery, a.Factor);
                    long hidden = a.Causal != 0 ? Math.Min(count, p.First + r - p.Unit.KeysBefore - query) : 0;
                    AttentionPortable.Hide(scores, r * Step, 0, hidden);
                    if (float.IsNaN(AttentionPortableSlopes.OfKey(scores, slopes, r * Step, StripProduct.Padded(count), a.Power, queryRows, QueryRow.At(index))))
                    {
                        AttentionPortable.ClearHidden(slopes, r * Step, hidden, count, count, mask, maskAt + (r * a.MaskKey), a.MaskQuery);
                    }
                }
                long valuesAt = (headIndex * Strip * padded) + (query * Strip);
                StripProduct<R, L>.Accumulate(scores, Step, gradChannels, valuesAt, queryStep, count, a.Width, rows, sumsV, sumsAt, scores, false, begins);
                StripProduct<R, L>.Accumulate(slopes, Step, queryChannels, valuesAt, queryStep, count, a.Width, rows, sumsK, sumsAt, scores, false, begins);
                begins = false;
            }
        }
        if (begins)
        {
            Clear(sumsK, sumsV, sumsAt, padded);
        }
    }

    private static void Clear(ArrayView<float> sumsK, ArrayView<float> sumsV, long at, long padded)
    {
        for (long i = Group.IdxX; i < Strip * padded; i += L.Count)
        {
            sumsK[at + i] = 0;
            sumsV[at + i] = 0;
        }
    }
}
