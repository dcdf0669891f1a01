using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>One thread's memory for the backward pass, cut from one lease.</summary>
internal readonly unsafe struct BackwardScratch
{
    private readonly int _step;

    public BackwardScratch(float* memory, int width, long keys, long queries)
    {
        _step = PaddedWidth(width);
        long keyFloats = KeyFloats(width, keys), queryFloats = QueryFloats(width, queries);
        KeyColumns = memory;
        ValueColumns = KeyColumns + keyFloats;
        KeyRows = ValueColumns + keyFloats;
        GradK = KeyRows + keyFloats;
        GradV = GradK + keyFloats;
        Queries = GradV + keyFloats;
        Grads = Queries + queryFloats;
        GradQ = Grads + queryFloats;
        Maxima = GradQ + queryFloats;
        Deltas = Maxima + Padded(queries);
        LseGrads = Deltas + Padded(queries);
        Totals = LseGrads + Padded(queries);
        Scores = Totals + Padded(queries);
        Slopes = Scores + ScoreFloats;
    }

    /// <summary>Kᵀ packed: columns are keys.</summary>
    public float* KeyColumns { get; }

    /// <summary>Vᵀ packed.</summary>
    public float* ValueColumns { get; }

    /// <summary>K packed: columns are channels.</summary>
    public float* KeyRows { get; }

    public float* GradK { get; }
    public float* GradV { get; }

    /// <summary>Queries, row-major.</summary>
    public float* Queries { get; }

    /// <summary>dO, row-major.</summary>
    public float* Grads { get; }
    public float* GradQ { get; }
    public float* Maxima { get; }
    public float* Deltas { get; }
    public float* LseGrads { get; }
    public float* Totals { get; }

    /// <summary>Scores, then P, of one block.</summary>
    public float* Scores { get; }

    /// <summary>dO·Vᵀ, then dS, of one block.</summary>
    public float* Slopes { get; }

    public static long Floats(int width, long keys, long queries) =>
        (5 * KeyFloats(width, keys)) + (3 * QueryFloats(width, queries)) + (4 * Padded(queries)) + (2 * ScoreFloats);

    public static PackedMatrix Pack<S, V>(MatrixView from, bool transposed, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        var packed = transposed ? new PackedMatrix(to, from.Columns, from.Rows) : new PackedMatrix(to, from.Rows, from.Columns);
        if (transposed)
        {
            RightOperand.Transposed(from).Pack<S, V>(packed);
        }
        else
        {
            RightOperand.Of(from).Pack<S, V>(packed);
        }
        return packed;
    }

    /// <summary>Rows of queries or of dO as the right side of a product. Channels beyond the last are read, and their sums never.</summary>
    public RightBlock Right(float* rows, long first) => new(rows + (first * _step), PackedMatrix.PanelColumns, _step);

    public void ClearKeyGradients(long keys)
    {
        new Span<float>(GradK, checked((int)(keys * _step))).Clear();
        new Span<float>(GradV, checked((int)(keys * _step))).Clear();
    }

    private static int PaddedWidth(int width) => (width + 15) & ~15;

    private static long Padded(long count) => (count + 15) & ~15L;

    // Large enough for [keys, width] row-major and for either packing of it.
    private static long KeyFloats(int width, long keys) =>
        Math.Max(Math.Max(PackedMatrix.FloatsOf(width, keys), PackedMatrix.FloatsOf(keys, width)), keys * PaddedWidth(width));

    private static long QueryFloats(int width, long queries) => queries * PaddedWidth(width);

    // Also holds a row of the output: enough for AttentionCall.MaxWidth.
    private const long ScoreFloats = AttentionBackward.QueryBlock * AttentionBackward.KeyBlock;
}
