using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>What forward and backward kernels share. Lives on the stack of the call.</summary>
internal unsafe struct AttentionProblem
{
    public const float Log2E = 1.44269504f;
    public const float Ln2 = 0.693147181f;

    public Sequence* Sequences;
    public long SequenceCount;
    public long Heads;

    /// <summary>Heads / KvHeads query heads in a row share one head of keys and values.</summary>
    public long KvHeads;

    /// <summary>Channels per head, D.</summary>
    public int Width;

    /// <summary>scale·log2(e), in two parts: scores are kept in units of log2, so that softmax is 2^x.</summary>
    public float Unit;
    public float UnitRest;
    public double Scale;

    /// <summary>Query i attends to keys 0 … i (aligned at the top left, as torch does).</summary>
    public bool Causal;

    public MaskView Mask;
    public HeadTensor Q;
    public HeadTensor K;
    public HeadTensor V;

    public RowStatistics Rows;

    public readonly long Group => Heads / KvHeads;

    /// <summary>Row length of float32 scratch: full cache lines.</summary>
    public readonly int PaddedWidth => (Width + 15) & ~15;

    public void SetScale(double scale)
    {
        double unit = scale * Math.Log2(Math.E);
        Scale = scale;
        Unit = (float)unit;
        UnitRest = float.IsFinite(Unit) ? (float)(unit - Unit) : 0;
    }

    /// <summary>Keys that queries below <paramref name="queryEnd"/> may attend to.</summary>
    public readonly long VisibleKeys(long keys, long queryEnd) => Causal ? Math.Min(keys, queryEnd) : keys;

    /// <summary>The sequence that a work item belongs to.</summary>
    public readonly long SequenceOf(long item)
    {
        long low = 0, high = SequenceCount - 1;
        while (low < high)
        {
            long middle = (low + high + 1) / 2;
            if (Sequences[middle].FirstItem <= item)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }
        return low;
    }
}
