using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary><see cref="AttentionBackward"/> without a mask for bfloat16 where the processor has bfloat16 dot products.</summary>
/// <remarks>
/// Scores lie transposed, a row per key: then Pᵀ and dSᵀ are left matrices of dV = Pᵀ·dO and dK = dSᵀ·Q as they are, pairs of their rows
/// are the right matrix of dQᵀ = Kᵀ·dSᵀ, and the statistics of 16 queries are one vector. P and dS are rounded to bfloat16 as stock's are.
/// Items, chunks and the order of sums are those of <see cref="AttentionBackward"/>.
/// </remarks>
internal readonly unsafe struct AttentionBackwardBFloat16 : ICpuKernel
{
    public const int QueryBlock = PackedMatrix.StripColumns;

    public const int KeyBlock = 128;

    private readonly AttentionProblem _problem;

    public AttentionProblem Problem { get => _problem; init => _problem = value; }

    public AttentionGradients Gradients { get; init; }

    /// <summary>Items: sequences × key heads × chunks.</summary>
    public long Items => Problem.SequenceCount * Problem.KvHeads * Gradients.Chunks;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        using var lease = Workspace.Rent(BackwardScratchBFloat16.Bytes(p.PaddedWidth, Gradients.ChunkKeys, Gradients.MaxQueries));
        var scratch = new BackwardScratchBFloat16(lease.Pointer, p.PaddedWidth, Gradients.ChunkKeys, Gradients.MaxQueries);
        for (long item = begin; item < end; item++)
        {
            var (unit, chunk) = Math.DivRem(item, Gradients.Chunks);
            var (b, kvHead) = Math.DivRem(unit, p.KvHeads);
            Keys<S, V>(b, kvHead, chunk, scratch);
        }
        BFloat16Product.Release();
    }

    private void Keys<S, V>(long b, long kvHead, long chunk, in BackwardScratchBFloat16 s) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        long firstKey = Math.Min(chunk * Gradients.ChunkKeys, sequence.Keys), keys = Math.Min(Gradients.ChunkKeys, sequence.Keys - firstKey);
        int step = p.PaddedWidth;
        long padded = AttentionOp.Blocks(keys, KeyBlock) * KeyBlock;
        BFloat16Rows.Copy(p.K.Matrix(b, sequence.FirstKey + firstKey, kvHead, keys, p.Width), 0, keys, padded, step, negate: false, s.KeyRows);
        BFloat16Rows.Copy(p.V.Matrix(b, sequence.FirstKey + firstKey, kvHead, keys, p.Width), 0, keys, padded, step, negate: false, s.ValueRows);
        for (long key = 0; key < padded; key += KeyBlock)
        {
            BFloat16Rows.Transpose(s.KeyRows + (key * step), KeyBlock, step, s.KeyColumns + (key * step));
        }
        new Span<float>(s.GradK, checked((int)(padded * step))).Clear();
        new Span<float>(s.GradV, checked((int)(padded * step))).Clear();
        for (long h = kvHead * p.Group; h < (kvHead + 1) * p.Group; h++)
        {
            PrepareQueries<S, V>(b, h, s);
            for (long key = 0; key < keys; key += KeyBlock)
            {
                int count = (int)Math.Min(KeyBlock, keys - key);
                long first = p.Causal ? (firstKey + key) / QueryBlock * QueryBlock : 0;
                for (; first < sequence.Queries; first += QueryBlock)
                {
                    long hidden = p.Causal ? firstKey + key - first : -KeyBlock;
                    Multiply<S, V>(s, first, key, count, (int)Math.Max(hidden, -KeyBlock));
                }
            }
            FinishQueries<S, V>(b, h, chunk, s);
        }
        Gradients.StoreKeys<S, V>(p, b, kvHead, firstKey, keys, s.GradK, s.GradV);
    }

    /// <summary>A head's queries and dO in both forms, its statistics and Δ; clears its gradient.</summary>
    private void PrepareQueries<S, V>(long b, long h, in BackwardScratchBFloat16 s) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        long n = sequence.Queries, padded = AttentionOp.Blocks(n, QueryBlock) * QueryBlock;
        int step = p.PaddedWidth;
        BFloat16Rows.Copy(p.Q.Matrix(b, sequence.FirstQuery, h, n, p.Width), 0, n, padded, step, p.QuerySign < 0, s.Rows);
        BFloat16Rows.PairTransposed(s.Rows, padded, step, s.QueryColumns);
        BFloat16Rows.Pair<S, V>(s.Rows, padded, step, s.QueryPairs);
        var gradOutput = Gradients.GradOutput.Matrix(b, sequence.FirstQuery, h, n, p.Width);
        var output = Gradients.Output.Matrix(b, sequence.FirstQuery, h, n, p.Width);
        BFloat16Rows.Copy(gradOutput, 0, n, padded, step, negate: false, s.Rows);
        float* grad = s.Scores, outputRow = s.Slopes;
        for (long i = 0; i < padded; i++)
        {
            long index = i < n ? p.Rows.Index(b, h, sequence.FirstQuery + i) : 0;
            float total = i < n ? Gradients.Statistics[Gradients.StatisticsLength + index] : 0;
            if (total == 0)
            {
                // Attends to nothing, or fills a block: 2^(score − ∞) = 0.
                new Span<ushort>(s.Rows + (i * step), step).Clear();
                s.Maxima[i] = float.PositiveInfinity;
                s.Inverses[i] = s.Deltas[i] = s.LseGrads[i] = 0;
                continue;
            }
            gradOutput.CopyRow<S, V>(i, 0, p.Width, grad);
            output.CopyRow<S, V>(i, 0, p.Width, outputRow);
            s.Maxima[i] = Gradients.Statistics[index];
            s.Inverses[i] = 1 / total;
            s.Deltas[i] = AttentionScores.Dot<S, V>(grad, outputRow, p.Width);
            s.LseGrads[i] = Gradients.GradLse != null ? Gradients.GradLse[index] : 0;
        }
        BFloat16Rows.PairTransposed(s.Rows, padded, step, s.GradColumns);
        BFloat16Rows.Pair<S, V>(s.Rows, padded, step, s.GradPairs);
        new Span<float>(s.GradQ, checked((int)(padded * step))).Clear();
    }

    /// <summary>One block of keys against one of queries.</summary>
    /// <param name="s">Memory.</param>
    /// <param name="query">First query.</param>
    /// <param name="key">First key, counted from the chunk's first.</param>
    /// <param name="keys">Keys that exist.</param>
    /// <param name="hidden">Queries of the block that the first key is hidden from; each further key from one more. Negative: from none yet.</param>
    private void Multiply<S, V>(in BackwardScratchBFloat16 s, long query, long key, int keys, int hidden) where S : struct, ISimd<V> where V : unmanaged
    {
        int step = _problem.PaddedWidth;
        BFloat16Product.Multiply(KeyBlock, QueryBlock, step, s.KeyRows + (key * step), step, s.QueryColumns + (query * step), QueryBlock, s.Scores, QueryBlock, add: false);
        BFloat16Product.Multiply(KeyBlock, QueryBlock, step, s.ValueRows + (key * step), step, s.GradColumns + (query * step), QueryBlock, s.Slopes, QueryBlock, add: false);
        for (int r = 0; r < keys; r++)
        {
            if (_problem.ScalesScores)
            {
                AttentionScores.Scale<S, V>(s.Scores + (r * QueryBlock), QueryBlock, _problem.Magnitude);
            }
            int none = _problem.Causal ? Math.Clamp(hidden + r, 0, QueryBlock) : 0;
            new Span<float>(s.Scores + (r * QueryBlock), none).Fill(float.NegativeInfinity);
            Row<S, V>(s, r, query);
            // The gradient of a hidden score is 0; 0 · dP is not where the query's row is not finite.
            new Span<float>(s.Slopes + (r * QueryBlock), none).Clear();
        }
        new Span<ushort>(s.Powers + (keys * QueryBlock), (KeyBlock - keys) * QueryBlock).Clear();
        new Span<float>(s.Slopes + (keys * QueryBlock), (KeyBlock - keys) * QueryBlock).Clear();
        for (int r = 0; r < KeyBlock; r += 2)
        {
            Pair<S, V>(s, r);
        }
        BFloat16Product.Multiply(KeyBlock, step, QueryBlock, s.Powers, QueryBlock, s.GradPairs + (query * step), step, s.GradV + (key * step), step, add: true);
        BFloat16Product.Multiply(KeyBlock, step, QueryBlock, s.SlopeRows, QueryBlock, s.QueryPairs + (query * step), step, s.GradK + (key * step), step, add: true);
        BFloat16Product.Multiply(step, QueryBlock, KeyBlock, s.KeyColumns + (key * step), KeyBlock, s.SlopePairs, QueryBlock, s.GradQ + (query * step), QueryBlock, add: true);
    }

    /// <summary>Scores of a key become P, products with dO become dS.</summary>
    private void Row<S, V>(in BackwardScratchBFloat16 s, int r, long query) where S : struct, ISimd<V> where V : unmanaged
    {
        float* scores = s.Scores + (r * QueryBlock), slopes = s.Slopes + (r * QueryBlock);
        float* maxima = s.Maxima + query, inverses = s.Inverses + query, deltas = s.Deltas + query, lseGrads = s.LseGrads + query;
        V one = S.Create(1);
        for (int i = 0; i < QueryBlock; i += S.Width)
        {
            var power = S.Mul(SimdMath.Exp2<S, V>(S.Sub(S.Load(scores + i), S.Load(maxima + i)), _problem.Power), S.Load(inverses + i));
            Bf16.Store<S, V>(s.Powers, (r * QueryBlock) + i, power);
            // Where one key has all the weight, dO·V and Δ are the same number, but for the order of their sums.
            var slope = S.Select(S.Equal(power, one), S.Zero, S.Sub(S.Load(slopes + i), S.Load(deltas + i)));
            S.Store(slopes + i, S.Mul(power, S.Add(slope, S.Load(lseGrads + i))));
        }
    }

    /// <summary>Rounds dS of two keys, in rows and in pairs.</summary>
    private static void Pair<S, V>(in BackwardScratchBFloat16 s, int r) where S : struct, ISimd<V> where V : unmanaged
    {
        float* even = s.Slopes + (r * QueryBlock), odd = even + QueryBlock;
        for (int i = 0; i < QueryBlock; i += S.Width)
        {
            V first = S.Load(even + i), second = S.Load(odd + i);
            Bf16.Store<S, V>(s.SlopeRows, (r * QueryBlock) + i, first);
            Bf16.Store<S, V>(s.SlopeRows, ((r + 1) * QueryBlock) + i, second);
            S.Store((float*)(s.SlopePairs + (r * QueryBlock)) + i, Bf16.NarrowPair<S, V>(first, second));
        }
    }

    private void FinishQueries<S, V>(long b, long h, long chunk, in BackwardScratchBFloat16 s) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        float* row = s.Scores;
        for (long i = 0; i < p.Sequences[b].Queries; i++)
        {
            float* column = s.GradQ + (i / QueryBlock * QueryBlock * p.PaddedWidth) + (i % QueryBlock);
            for (int d = 0; d < p.Width; d++)
            {
                row[d] = column[d * QueryBlock];
            }
            Gradients.StoreQuery<S, V>(p, b, h, chunk, i, row);
        }
    }
}
