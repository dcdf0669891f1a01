using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>dS·K on a device, which times the scale is the gradient of the queries: a work-group per strip of 32 queries.</summary>
/// <remarks>The first of two passes over the scores: this one runs along keys, <see cref="AttentionPortableKeys{M, R, L}"/> along queries,
/// so that each sum has one owner and one order. Type parameters as in the forward kernel.</remarks>
internal static class AttentionPortableQueries<M, R, L>
    where M : unmanaged, IMaskElement<M>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;

    /// <summary>One per mask and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static int KeyBlock => L.Count == 1 ? 128 : Strip;

    private static int Step => L.Count == 1 ? KeyBlock : KeyBlock + 1;

    /// <param name="units">What there is to do.</param>
    /// <param name="q">Strips, by channels for one lane, by tokens for many.</param>
    /// <param name="grad">dO, the same.</param>
    /// <param name="k">By tokens.</param>
    /// <param name="v">By tokens.</param>
    /// <param name="keyRows">Keys by channels.</param>
    /// <param name="mask">By its strides.</param>
    /// <param name="queryRows">See <see cref="QueryRow"/>; a better Δ is written where it is found.</param>
    /// <param name="sums">Result: [strip, 32, padded D].</param>
    /// <param name="a">Scalars.</param>
    private static void Run(
        ArrayView<AttentionUnit> units, ArrayView<float> q, ArrayView<float> grad, ArrayView<float> k, ArrayView<float> v, ArrayView<float> keyRows,
        ArrayView<M> mask, ArrayView<float> queryRows, ArrayView<float> sums, AttentionScalars a)
    {
        var scores = SharedMemory.Allocate<float>(Strip * Step);
        var slopes = SharedMemory.Allocate<float>(Strip * Step);
        var p = StripPlace.OfQueries(units, a.Units, a.Group, Grid.IdxX);
        long rows = Math.Min(Strip, p.Unit.Queries - p.First), before = p.Unit.KeysBefore + p.First;
        long visible = a.Causal != 0 ? Math.Min(p.Unit.Keys, before + rows) : p.Unit.Keys;
        long leftAt = StripProduct<R, L>.RowsAt(p, a.Width), step = StripProduct.ChannelStep(p), keyAt = p.Unit.KeyStrips * Strip * a.Width;
        long padded = StripProduct.Padded(a.Width), keyRowsAt = p.Unit.KeyStrips * Strip * padded, sumsAt = p.Index * Strip * padded;
        if (visible <= 0)
        {
            Clear(sums, sumsAt, padded);
        }
        for (long key = 0; key < visible; key += KeyBlock)
        {
            long count = Math.Min(KeyBlock, visible - key);
            for (long j = 0; j < count; j += Strip)
            {
                long columnsAt = keyAt + ((key + j) * a.Width);
                StripProduct<R, L>.Multiply(q, leftAt, step, k, columnsAt, a.Width, AttentionScores.ScoreDepth, rows, scores, j, Step);
                StripProduct<R, L>.Multiply(grad, leftAt, step, v, columnsAt, a.Width, AttentionScores.SlopeDepth, rows, slopes, j, Step);
            }
            for (long r = Group.IdxX; r < rows; r += L.Count)
            {
                Row(p, r, key, count, scores, slopes, mask, queryRows, a);
            }
            StripProduct<R, L>.Accumulate(
                slopes, Step, keyRows, keyRowsAt + (key * Strip), AttentionUnit.StripsOf(p.Unit.Keys) * Strip * Strip, count, a.Width, rows, sums, sumsAt, slopes, false, key == 0);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Row(
        StripPlace p, long r, long key, long count, ArrayView<float> scores, ArrayView<float> slopes, ArrayView<M> mask, ArrayView<float> queryRows, AttentionScalars a)
    {
        long at = r * Step, row = QueryRow.At(p.Index) + r, padded = StripProduct.Padded(count);
        float high = queryRows[row + QueryRow.High];
        if (high == 0)
        {
            for (long j = 0; j < padded; j++)
            {
                slopes[at + j] = 0;
            }
            return;
        }
        long seen = a.Causal != 0 ? Math.Min(p.Unit.Keys, p.Unit.KeysBefore + p.First + r + 1) : p.Unit.Keys;
        long shown = Math.Max(0, Math.Min(count, seen - key));
        long maskAt = a.Mask(p) + ((p.First + r) * a.MaskQuery) + (key * a.MaskKey);
        AttentionPortable.Mask(scores, at, shown, mask, maskAt, a.MaskKey, a.Factor);
        AttentionPortable.Hide(scores, at, shown, padded);
        float delta = AttentionPortableSlopes.Probabilities(scores, slopes, at, padded, a.Power, queryRows[row + QueryRow.Max], high, queryRows[row + QueryRow.Low]);
        if (seen <= KeyBlock)
        {
            // Δ = Σ_j P∘dP as well, and better: the rounding of dP then cancels where few keys have all the weight.
            if (key == 0)
            {
                queryRows[row + QueryRow.Delta] = delta;
            }
        }
        if (float.IsNaN(AttentionPortableSlopes.Slopes(scores, slopes, at, padded, queryRows[row + QueryRow.Delta], queryRows[row + QueryRow.LseGrad])))
        {
            AttentionPortable.ClearHidden(slopes, at, 0, shown, count, mask, maskAt, a.MaskKey);
        }
    }

    private static void Clear(ArrayView<float> sums, long at, long padded)
    {
        for (long i = Group.IdxX; i < Strip * padded; i += L.Count)
        {
            sums[at + i] = 0;
        }
    }
}
