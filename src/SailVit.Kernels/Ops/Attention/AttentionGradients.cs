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
}
