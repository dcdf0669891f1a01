using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>What both backward kernels read and write beside the problem itself.</summary>
internal readonly unsafe struct AttentionGradients
{
    public HeadTensor Output { get; init; }
    public HeadTensor GradOutput { get; init; }

    /// <summary>Gradient of the log-sum-exp, by row; null if it has none.</summary>
    public float* GradLse { get; init; }

    /// <summary>Maxima, then after <see cref="StatisticsLength"/> floats sums.</summary>
    public float* Statistics { get; init; }
    public long StatisticsLength { get; init; }

    public HeadTensor Q { get; init; }
    public HeadTensor K { get; init; }
    public HeadTensor V { get; init; }

    /// <summary>Keys per item.</summary>
    public long ChunkKeys { get; init; }
    public long Chunks { get; init; }

    /// <summary>Partial gradients of the queries, [Chunks, rows, D]; null where there is one chunk.</summary>
    public float* QueryPartials { get; init; }

    /// <summary>Largest sequence, which sizes the workspace.</summary>
    public long MaxQueries { get; init; }

    /// <summary>Stores the gradients of a range of keys and values from rows of PaddedWidth floats.</summary>
    public void StoreKeys<S, V>(in AttentionProblem p, long b, long kvHead, long firstKey, long keys, float* gradK, float* gradV) where S : struct, ISimd<V> where V : unmanaged
    {
        long first = p.Sequences[b].FirstKey + firstKey;
        var toK = K.Matrix(b, first, kvHead, keys, p.Width);
        var toV = this.V.Matrix(b, first, kvHead, keys, p.Width);
        for (long r = 0; r < keys; r++)
        {
            // Prepared queries hold the scale's sign.
            AttentionScores.Store<S, V>(toK, r, gradK + (r * p.PaddedWidth), p.Magnitude);
            AttentionScores.Store<S, V>(toV, r, gradV + (r * p.PaddedWidth), 1);
        }
    }

    /// <summary>Stores query i's gradient, or the part of it that a chunk of keys gives.</summary>
    public void StoreQuery<S, V>(in AttentionProblem p, long b, long h, long chunk, long i, float* row) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var sequence = ref p.Sequences[b];
        if (QueryPartials == null)
        {
            AttentionScores.Store<S, V>(Q.Matrix(b, sequence.FirstQuery, h, sequence.Queries, p.Width), i, row, (float)p.Scale);
            return;
        }
        long at = (chunk * StatisticsLength) + p.Rows.Index(b, h, sequence.FirstQuery + i);
        new Span<float>(row, p.Width).CopyTo(new(QueryPartials + (at * p.PaddedWidth), p.Width));
    }
}
