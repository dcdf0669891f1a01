using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>What a forward kernel writes: rows of output, their log-sum-exp and statistics where those are asked for.</summary>
internal readonly unsafe struct AttentionOutput(HeadTensor output, float* lse, float* statistics, long statisticsLength)
{
    public HeadTensor Output => output;

    public float* Lse => lse;

    public float* Statistics => statistics;

    /// <summary>Rows of queries: half the statistics.</summary>
    public long StatisticsLength => statisticsLength;

    /// <summary>Divides a block's sums of values by their sums of powers, and stores.</summary>
    /// <param name="p">The problem.</param>
    /// <param name="b">Sequence.</param>
    /// <param name="h">Query head.</param>
    /// <param name="first">First query of the block.</param>
    /// <param name="rows">Queries.</param>
    /// <param name="sums">Σ power·value, rows of <paramref name="step"/> floats.</param>
    /// <param name="step">Floats per row.</param>
    /// <param name="max">Largest score of each row.</param>
    /// <param name="total">Sum of powers of each row.</param>
    public void Finish<S, V>(in AttentionProblem p, long b, long h, long first, int rows, float* sums, int step, float* max, float* total) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var sequence = ref p.Sequences[b];
        var to = output.Matrix(b, sequence.FirstQuery, h, sequence.Queries, p.Width);
        for (int r = 0; r < rows; r++)
        {
            float inverse = 1 / total[r];
            if (total[r] == 0)
            {
                // Nothing to attend to: 0, also where a value is not finite.
                inverse = 0;
                new Span<float>(sums + (r * step), p.Width).Clear();
            }
            AttentionScores.Store<S, V>(to, first + r, sums + (r * step), inverse);
            long index = p.Rows.Index(b, h, sequence.FirstQuery + first + r);
            if (lse != null)
            {
                lse[index] = (float)((max[r] * p.ScoreUnit) + Math.Log(total[r]));
            }
            if (statistics != null)
            {
                statistics[index] = total[r] == 0 ? 0 : max[r];
                statistics[statisticsLength + index] = total[r];
            }
        }
    }
}
