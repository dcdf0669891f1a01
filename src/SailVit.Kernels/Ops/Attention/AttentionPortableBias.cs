using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Where the gradient of a bias lies and what is added up; strides are 0 where the bias is broadcast.</summary>
internal struct BiasScalars
{
    public AttentionScalars Attention;
    public long Batch;
    public long Head;
    public long Query;
    public long Key;

    /// <summary>Work-groups per sequence and head of the bias: strips of its queries and keys, 1 of what is broadcast.</summary>
    public long QueryStrips;
    public long KeyStrips;

    /// <summary>Heads of the bias.</summary>
    public long Heads;
}

/// <summary>The gradient of a bias on a device: a work-group per strip of its queries and strip of its keys, through all sequences, heads and
/// queries that share it, always in the same order.</summary>
/// <remarks>With what the additions lose: the sums can be long, and largely cancel. Type parameters as in the forward kernel. Runs after
/// <see cref="AttentionPortableQueries{M, R, L}"/>, whose Δ it reads.</remarks>
internal static class AttentionPortableBias<M, R, L>
    where M : unmanaged, IMaskElement<M>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;
    private const int Step = Strip + 1;

    /// <summary>One per mask and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <param name="units">What there is to do.</param>
    /// <param name="q">Strips, by channels for one lane, by tokens for many.</param>
    /// <param name="grad">dO, the same.</param>
    /// <param name="k">By tokens.</param>
    /// <param name="v">By tokens.</param>
    /// <param name="mask">By its strides.</param>
    /// <param name="queryRows">See <see cref="QueryRow"/>.</param>
    /// <param name="gradient">Is added to.</param>
    /// <param name="b">Scalars.</param>
    private static void Run(
        ArrayView<AttentionUnit> units, ArrayView<float> q, ArrayView<float> grad, ArrayView<float> k, ArrayView<float> v,
        ArrayView<M> mask, ArrayView<float> queryRows, ArrayView<float> gradient, BiasScalars b)
    {
        var scores = SharedMemory.Allocate<float>(Strip * Step);
        var slopes = SharedMemory.Allocate<float>(Strip * Step);
        var sums = SharedMemory.Allocate<float>(Strip * Step);
        var lost = SharedMemory.Allocate<float>(Strip * Step);
        long key = Grid.IdxX % b.KeyStrips * Strip, rest = Grid.IdxX / b.KeyStrips;
        long strip = rest % b.QueryStrips, head = rest / b.QueryStrips % b.Heads, batch = rest / b.QueryStrips / b.Heads;
        for (long r = Group.IdxX; r < Strip; r += L.Count)
        {
            for (long j = 0; j < Step; j++)
            {
                sums[(r * Step) + j] = 0;
                lost[(r * Step) + j] = 0;
            }
        }
        for (long u = 0; u < b.Attention.Units; u++)
        {
            var unit = units[u];
            long strips = AttentionUnit.StripsOf(unit.Queries);
            for (long g = 0; g < b.Attention.Group; g++)
            {
                bool adds = (b.Batch == 0 || unit.Batch == batch) && (b.Head == 0 || (unit.KvHead * b.Attention.Group) + g == head);
                long first = adds ? (b.Query == 0 ? 0 : strip) : strips, end = b.Query == 0 ? strips : Math.Min(strips, strip + 1);
                for (long s = first; s < end; s++)
                {
                    var p = new StripPlace(unit, unit.QueryStrips + (g * strips) + s, g, s, strips);
                    Add(p, key, q, grad, k, v, mask, queryRows, scores, slopes, sums, lost, b);
                }
            }
        }
        Store(units[0], batch, head, strip, key, sums, lost, gradient, b);
    }

    /// <summary>dS of one strip of queries and one of keys.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(
        StripPlace p, long key, ArrayView<float> q, ArrayView<float> grad, ArrayView<float> k, ArrayView<float> v, ArrayView<M> mask, ArrayView<float> queryRows,
        ArrayView<float> scores, ArrayView<float> slopes, ArrayView<float> sums, ArrayView<float> lost, BiasScalars b)
    {
        var a = b.Attention;
        long rows = Math.Min(Strip, p.Unit.Queries - p.First), count = b.Key == 0 ? 1 : Math.Min(Strip, p.Unit.Keys - key);
        if (b.Key != 0)
        {
            long leftAt = StripProduct<R, L>.RowsAt(p, a.Width), columnsAt = ((p.Unit.KeyStrips * Strip) + key) * a.Width, step = StripProduct.ChannelStep(p);
            StripProduct<R, L>.Multiply(q, leftAt, step, k, columnsAt, a.Width, AttentionScores.ScoreDepth, rows, scores, 0, Step);
            StripProduct<R, L>.Multiply(grad, leftAt, step, v, columnsAt, a.Width, AttentionScores.SlopeDepth, rows, slopes, 0, Step);
        }
        for (long r = Group.IdxX; r < rows; r += L.Count)
        {
            long at = r * Step, row = QueryRow.At(p.Index) + r;
            float max = queryRows[row + QueryRow.Max], high = queryRows[row + QueryRow.High], low = queryRows[row + QueryRow.Low];
            float delta = queryRows[row + QueryRow.Delta], lseGrad = queryRows[row + QueryRow.LseGrad];
            if (high == 0)
            {
                continue;
            }
            if (b.Key == 0)
            {
                // A common offset changes no probability: Σ_j dS = dlse. The product is 0, or NaN where the row is not finite.
                slopes[at] = lseGrad + (0 * max * delta);
            }
            else
            {
                long shown = a.Causal != 0 ? Math.Max(0, Math.Min(count, p.Unit.KeysBefore + p.First + r + 1 - key)) : count;
                AttentionPortable.Mask(scores, at, shown, mask, a.Mask(p) + ((p.First + r) * a.MaskQuery) + (key * a.MaskKey), a.MaskKey, a.Factor);
                AttentionPortable.Hide(scores, at, shown, Strip);
                _ = AttentionPortableSlopes.Probabilities(scores, slopes, at, Strip, a.Power, max, high, low);
                if (float.IsNaN(AttentionPortableSlopes.Slopes(scores, slopes, at, Strip, delta, lseGrad)))
                {
                    AttentionPortable.ClearHidden(slopes, at, 0, shown, count, mask, 0, 0);
                }
            }
            for (long j = 0; j < count; j++)
            {
                float loss = lost[at + j];
                sums[at + j] = Builtin.Add(sums[at + j], slopes[at + j], ref loss);
                lost[at + j] = loss;
            }
        }
    }

    private static void Store(
        AttentionUnit unit, long batch, long head, long strip, long key, ArrayView<float> sums, ArrayView<float> lost, ArrayView<float> gradient, BiasScalars b)
    {
        long count = b.Key == 0 ? 1 : Math.Min(Strip, unit.Keys - key);
        long to = (batch * b.Batch) + (head * b.Head) + (strip * Strip * b.Query) + (key * b.Key);
        if (b.Query != 0)
        {
            long rows = Math.Min(Strip, unit.Queries - (strip * Strip));
            for (long r = Group.IdxX; r < rows; r += L.Count)
            {
                for (long j = 0; j < count; j++)
                {
                    gradient[to + (r * b.Query) + (j * b.Key)] += Builtin.Total(sums[(r * Step) + j], lost[(r * Step) + j]);
                }
            }
            return;
        }
        if (L.Count > 1)
        {
            // From here on, a lane has a column.
            Group.Barrier();
        }
        for (long j = Group.IdxX; j < count; j += L.Count)
        {
            float total = 0, rest = 0;
            for (long r = 0; r < Strip; r++)
            {
                total = Builtin.Add(total, sums[(r * Step) + j], ref rest);
                rest += lost[(r * Step) + j];
            }
            gradient[to + (j * b.Key)] += Builtin.Total(total, rest);
        }
    }
}
