namespace SailVit.Kernels.Ops.Attention;

/// <summary>One thread's memory for <see cref="AttentionBackwardBFloat16"/>, cut from one lease.</summary>
internal readonly unsafe struct BackwardScratchBFloat16
{
    private const int Block = AttentionBackwardBFloat16.KeyBlock * AttentionBackwardBFloat16.QueryBlock;

    public BackwardScratchBFloat16(byte* memory, int step, long keys, long queries)
    {
        long key = keys * step, padded = Padded(queries), query = padded * step;
        GradK = (float*)memory;
        GradV = GradK + key;
        GradQ = GradV + key;
        Maxima = GradQ + query;
        Inverses = Maxima + padded;
        Deltas = Inverses + padded;
        LseGrads = Deltas + padded;
        Scores = LseGrads + padded;
        Slopes = Scores + Block;
        KeyRows = (ushort*)(Slopes + Block);
        ValueRows = KeyRows + key;
        KeyColumns = ValueRows + key;
        Rows = KeyColumns + key;
        QueryColumns = Rows + query;
        QueryPairs = QueryColumns + query;
        GradColumns = QueryPairs + query;
        GradPairs = GradColumns + query;
        Powers = GradPairs + query;
        SlopeRows = Powers + Block;
        SlopePairs = SlopeRows + Block;
    }

    public float* GradK { get; }
    public float* GradV { get; }

    /// <summary>dQᵀ, [D, 64] for each block of queries.</summary>
    public float* GradQ { get; }

    public float* Maxima { get; }

    /// <summary>1 / sum of powers.</summary>
    public float* Inverses { get; }

    public float* Deltas { get; }
    public float* LseGrads { get; }

    /// <summary>Sᵀ of one block.</summary>
    public float* Scores { get; }

    /// <summary>(dO·Vᵀ)ᵀ, then dSᵀ, of one block.</summary>
    public float* Slopes { get; }

    public ushort* KeyRows { get; }
    public ushort* ValueRows { get; }

    /// <summary>Kᵀ, [D, keys] for each block of keys.</summary>
    public ushort* KeyColumns { get; }

    /// <summary>Queries, then dO, as rows.</summary>
    public ushort* Rows { get; }

    /// <summary>Right matrices whose columns are queries, in strips.</summary>
    public ushort* QueryColumns { get; }
    public ushort* GradColumns { get; }

    /// <summary>Right matrices whose rows are queries.</summary>
    public ushort* QueryPairs { get; }
    public ushort* GradPairs { get; }

    /// <summary>Pᵀ of one block.</summary>
    public ushort* Powers { get; }

    /// <summary>dSᵀ of one block, as left and as right matrix.</summary>
    public ushort* SlopeRows { get; }
    public ushort* SlopePairs { get; }

    public static long Bytes(int step, long keys, long queries) =>
        (keys * step * ((2 * sizeof(float)) + (3 * sizeof(ushort)))) + (Padded(queries) * step * (sizeof(float) + (5 * sizeof(ushort))))
        + (4 * Padded(queries) * sizeof(float)) + (Block * ((2 * sizeof(float)) + (3 * sizeof(ushort))));

    private static long Padded(long queries) => AttentionOp.Blocks(queries, AttentionBackwardBFloat16.QueryBlock) * AttentionBackwardBFloat16.QueryBlock;
}
