using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Attention of a few queries to a long cache, which is read once, where it lies.</summary>
/// <remarks>An item is (sequence, key head) with all queries and query heads that share it. Online softmax over blocks of
/// keys, as in <see cref="AttentionForward"/>.</remarks>
internal readonly unsafe struct KvCacheKernel<T>(AttentionProblem problem, HeadTensor output) : ICpuKernel where T : unmanaged, IElement
{
    private const int KeyBlock = AttentionForward.KeyBlock;

    // Keys whose products are summed side by side.
    private const int Together = 4;

    private readonly AttentionProblem _problem = problem;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        for (long item = begin; item < end; item++)
        {
            long b = p.SequenceOf(item);
            Head<S, V>(b, item - p.Sequences[b].FirstItem);
        }
    }

    private void Head<S, V>(long b, long kvHead) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        int step = p.PaddedWidth, rows = checked((int)(sequence.Queries * p.Group));
        using var lease = Workspace.Rent(rows * ((2 * step) + KeyBlock + 2) * sizeof(float));
        float* queries = lease.Floats, sums = queries + (rows * step), scores = sums + (rows * step);
        float* max = scores + (rows * KeyBlock), total = max + rows;
        new Span<float>(sums, rows * step).Clear();
        new Span<float>(max, rows).Fill(float.NegativeInfinity);
        new Span<float>(total, rows).Clear();
        for (int g = 0; g < p.Group; g++)
        {
            long h = (kvHead * p.Group) + g;
            AttentionScores.CopyQueries<S, V>(p, p.Q.Matrix(b, sequence.FirstQuery, h, sequence.Queries, p.Width), 0, sequence.Queries, queries + (g * sequence.Queries * step));
        }
        var k = p.K.Matrix(b, 0, kvHead, sequence.Keys, p.Width);
        var v = p.V.Matrix(b, 0, kvHead, sequence.Keys, p.Width);
        // One lane: chains as short as the matrix product's.
        long chain = S.Width == 1 ? AttentionScores.ScoreDepth : p.Width;
        for (long key = 0; key < sequence.Keys; key += KeyBlock)
        {
            int keys = (int)Math.Min(KeyBlock, sequence.Keys - key);
            RowDots.Run<T, S, V>(queries, step, rows, k, key, keys, chain, scores, KeyBlock);
            for (int r = 0; r < rows; r++)
            {
                var row = scores + (r * KeyBlock);
                AttentionScores.Mask<S, V>(p, row, b, 0, r % sequence.Queries, key, keys);
                float correction = AttentionScores.Exponentiate<S, V>(row, keys, p.Power, ref max[r], ref total[r]);
                if (correction != 1 && key > 0)
                {
                    AttentionScores.Scale<S, V>(sums + (r * step), p.Width, correction);
                }
            }
            Gather<S, V>(v, key, keys, scores, rows, sums, step);
        }
        for (int r = 0; r < rows; r++)
        {
            var to = output.Matrix(b, sequence.FirstQuery, (kvHead * p.Group) + (r / sequence.Queries), sequence.Queries, p.Width);
            AttentionScores.Store<S, V>(to, r % sequence.Queries, sums + (r * step), 1 / total[r]);
        }
    }

    /// <summary>sums[r] += Σ weights[r, j]·v[j], four keys at a time.</summary>
    private static void Gather<S, V>(MatrixView v, long key, int keys, float* weights, int rows, float* sums, int step) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < keys; j += Together)
        {
            int last = Math.Min(Together, keys - j) - 1;
            byte* v0 = v.At(key + j, 0), v1 = v.At(key + j + Math.Min(1, last), 0);
            byte* v2 = v.At(key + j + Math.Min(2, last), 0), v3 = v.At(key + j + Math.Min(3, last), 0);
            for (int r = 0; r < rows; r++)
            {
                float* w = weights + (r * KeyBlock) + j;
                float w1 = last >= 1 ? w[1] : 0, w2 = last >= 2 ? w[2] : 0, w3 = last >= 3 ? w[3] : 0;
                float* sum = sums + (r * step);
                long d = 0;
                for (; d + S.Width <= v.Columns; d += S.Width)
                {
                    Add<S, V>(sum, d, w[0], w1, w2, w3, v0, v1, v2, v3);
                }
                for (; d < v.Columns; d++)
                {
                    Add<SimdScalar, float>(sum, d, w[0], w1, w2, w3, v0, v1, v2, v3);
                }
            }
        }
    }

    private static void Add<S, V>(float* sum, long d, float w0, float w1, float w2, float w3, byte* v0, byte* v1, byte* v2, byte* v3) where S : struct, ISimd<V> where V : unmanaged
    {
        var four = S.Mul(S.Create(w0), T.Load<S, V>(v0, d));
        four = S.Fma(S.Create(w1), T.Load<S, V>(v1, d), four);
        four = S.Fma(S.Create(w2), T.Load<S, V>(v2, d), four);
        four = S.Fma(S.Create(w3), T.Load<S, V>(v3, d), four);
        S.Store(sum + d, S.Add(S.Load(sum + d), four));
    }
}
