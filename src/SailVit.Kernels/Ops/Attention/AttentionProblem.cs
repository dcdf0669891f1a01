using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>What forward and backward kernels share. Lives on the stack of the call.</summary>
internal unsafe struct AttentionProblem
{
    public Sequence* Sequences;
    public long SequenceCount;
    public long Heads;

    /// <summary>Heads / KvHeads query heads in a row share one head of keys and values.</summary>
    public long KvHeads;

    /// <summary>Channels per head, D.</summary>
    public int Width;

    public double Scale;

    /// <summary>Whether rows of scores are multiplied by the scale. Otherwise they stay Q·Kᵀ, which rounds least, and the scale
    /// is part of <see cref="Power"/>.</summary>
    public bool ScalesScores;

    /// <summary>Natural logarithms per unit of score.</summary>
    public double ScoreUnit;

    /// <summary>From scores to powers of two.</summary>
    public Exp2Unit Power;

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

    /// <summary>|scale|; its sign is in the packed queries.</summary>
    public readonly float Magnitude => (float)Math.Abs(Scale);

    public readonly float QuerySign => Scale < 0 ? -1 : 1;

    /// <summary>Sets what follows from scale and mask.</summary>
    public void SetScale(double scale)
    {
        Scale = scale;
        // A bias is added in natural logarithms. The range keeps products of Power finite; zero is outside it.
        ScalesScores = Mask.IsAdditive || Math.Abs(scale) is not (> 1e-30 and < 1e30);
        ScoreUnit = ScalesScores ? 1 : Math.Abs(scale);
        Power = new(ScoreUnit * Math.Log2(Math.E));
    }

    /// <summary>Keys that queries below <paramref name="queryEnd"/> may attend to.</summary>
    public readonly long VisibleKeys(long keys, long queryEnd) => Causal ? Math.Min(keys, queryEnd) : keys;

    /// <summary>Keys of the longest sequence among items [begin, end).</summary>
    public readonly long LongestKeys(long begin, long end)
    {
        long keys = 0;
        for (long b = SequenceOf(begin); b <= SequenceOf(end - 1); b++)
        {
            keys = Math.Max(keys, Sequences[b].Keys);
        }
        return keys;
    }

    /// <summary>What a work item of a forward pass is: sequence, head and first query of its block.</summary>
    public readonly (long B, long H, long FirstQuery) ForwardItem(long item, int queryBlock)
    {
        long b = SequenceOf(item);
        var (h, block) = Math.DivRem(item - Sequences[b].FirstItem, AttentionOp.Blocks(Sequences[b].Queries, queryBlock));
        return (b, h, block * queryBlock);
    }

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
