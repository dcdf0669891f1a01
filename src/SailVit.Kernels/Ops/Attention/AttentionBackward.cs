using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Gradients of queries, keys, values and bias; probabilities are computed again from the row statistics.</summary>
/// <remarks>
/// With P = e^(S − max)/sum and Δ = Σ_d dO∘O:
/// dV = PᵀdO, dS = P∘(dO·Vᵀ − Δ + dlse), dK = scale·dSᵀQ, dQ = scale·dS·K. Five matrix products.
/// An item is (sequence, key head, range of <see cref="AttentionGradients.ChunkKeys"/> keys); sequences or heads that add to the same bias
/// gradient are one item. Query heads of a group follow each other. All sums have one order whatever the number of threads.
/// Workspace per thread: D·(5·keys + 3·queries) floats and two blocks of scores.
/// Source: Dao 2023, FlashAttention-2, algorithm 2.
/// </remarks>
internal readonly unsafe struct AttentionBackward : ICpuKernel
{
    public const int QueryBlock = 48;

    /// <summary>A multiple of the register tile's six rows and of a strip's 64 columns.</summary>
    public const int KeyBlock = 192;

    // Queries summed in one chain where a head has one panel of channels at most: shorter ones lose less, and cost nothing there.
    private const int NarrowDepth = 8;

    private readonly AttentionProblem _problem;

    public AttentionProblem Problem { get => _problem; init => _problem = value; }

    public AttentionGradients Gradients { get; init; }

    public BiasGradient GradBias { get; init; }

    /// <summary>Items: independent sequences × independent key heads × chunks.</summary>
    public long Items => (GradBias.SharedByBatch ? 1 : Problem.SequenceCount) * (GradBias.SharedByHeads ? 1 : Problem.KvHeads) * Gradients.Chunks;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        using var lease = Workspace.Rent(BackwardScratch.Floats(p.Width, Gradients.ChunkKeys, Gradients.MaxQueries) * sizeof(float));
        var scratch = new BackwardScratch(lease.Floats, p.Width, Gradients.ChunkKeys, Gradients.MaxQueries);
        long headItems = GradBias.SharedByHeads ? 1 : p.KvHeads;
        for (long item = begin; item < end; item++)
        {
            var (unit, chunk) = Math.DivRem(item, Gradients.Chunks);
            var (batchItem, headItem) = Math.DivRem(unit, headItems);
            long firstBatch = batchItem, lastBatch = GradBias.SharedByBatch ? p.SequenceCount - 1 : batchItem;
            long firstHead = headItem, lastHead = GradBias.SharedByHeads ? p.KvHeads - 1 : headItem;
            for (long b = firstBatch; b <= lastBatch; b++)
            {
                for (long kvHead = firstHead; kvHead <= lastHead; kvHead++)
                {
                    Keys<S, V>(b, kvHead, chunk, scratch);
                }
            }
        }
    }

    /// <summary>One range of keys of one key head against all queries that use it.</summary>
    private void Keys<S, V>(long b, long kvHead, long chunk, in BackwardScratch scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        long firstKey = Math.Min(chunk * Gradients.ChunkKeys, sequence.Keys), keys = Math.Min(Gradients.ChunkKeys, sequence.Keys - firstKey);
        var k = p.K.Matrix(b, sequence.FirstKey + firstKey, kvHead, keys, p.Width);
        var v = p.V.Matrix(b, sequence.FirstKey + firstKey, kvHead, keys, p.Width);
        var keyColumns = BackwardScratch.Pack<S, V>(k, transposed: true, scratch.KeyColumns);
        var keyRows = BackwardScratch.Pack<S, V>(k, transposed: false, scratch.KeyRows);
        var valueColumns = BackwardScratch.Pack<S, V>(v, transposed: true, scratch.ValueColumns);
        scratch.ClearKeyGradients(keys);
        for (long h = kvHead * p.Group; h < (kvHead + 1) * p.Group; h++)
        {
            PrepareQueries<S, V>(b, h, scratch);
            for (long key = 0; key < keys; key += KeyBlock)
            {
                int count = (int)Math.Min(KeyBlock, keys - key);
                long first = p.Causal ? Math.Min(sequence.Queries, (firstKey + key) / QueryBlock * QueryBlock) : 0;
                for (; first < sequence.Queries; first += QueryBlock)
                {
                    int rows = (int)Math.Min(QueryBlock, sequence.Queries - first);
                    var tile = new Tile { B = b, H = h, Query = first, Rows = rows, Key = key, FirstKey = firstKey, Keys = count };
                    Multiply<S, V>(tile, scratch, keyColumns, keyRows, valueColumns);
                }
            }
            FinishQueries<S, V>(b, h, chunk, scratch);
        }
        Gradients.StoreKeys<S, V>(p, b, kvHead, firstKey, keys, scratch.GradK, scratch.GradV);
    }

    /// <summary>Copies a head's queries and dO, computes Δ where rows of scores have several blocks, clears its gradient.</summary>
    private void PrepareQueries<S, V>(long b, long h, in BackwardScratch scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        long n = sequence.Queries;
        int step = p.PaddedWidth;
        AttentionScores.CopyQueries<S, V>(p, p.Q.Matrix(b, sequence.FirstQuery, h, n, p.Width), 0, n, scratch.Queries);
        var gradOutput = Gradients.GradOutput.Matrix(b, sequence.FirstQuery, h, n, p.Width);
        var output = Gradients.Output.Matrix(b, sequence.FirstQuery, h, n, p.Width);
        float* outputRow = scratch.Scores;
        for (long i = 0; i < n; i++)
        {
            var row = scratch.Grads + (i * step);
            long index = p.Rows.Index(b, h, sequence.FirstQuery + i);
            float total = Gradients.Statistics[Gradients.StatisticsLength + index];
            scratch.Maxima[i] = Gradients.Statistics[index];
            scratch.Totals[i] = total;
            scratch.LseGrads[i] = Gradients.GradLse != null && total != 0 ? Gradients.GradLse[index] : 0;
            scratch.Deltas[i] = 0;
            if (total == 0)
            {
                // Attends to nothing: its output is constant, whatever comes in.
                new Span<float>(row, p.Width).Clear();
                continue;
            }
            gradOutput.CopyRow<S, V>(i, 0, p.Width, row);
            if (IsOneBlock(sequence, i) && !GradBias.SharedByKeys)
            {
                continue;
            }
            output.CopyRow<S, V>(i, 0, p.Width, outputRow);
            // Where one key has all the weight, dO·V and Δ must be the same number, not only nearly.
            scratch.Deltas[i] = total == 1 ? AttentionScores.DotAsMultiplied(row, outputRow, p.Width) : AttentionScores.DotInDouble(row, outputRow, p.Width);
        }
        new Span<float>(scratch.GradQ, checked((int)(n * step))).Clear();
    }

    // Whether the first block of keys holds all that a query attends to. A chunk is never shorter than a block.
    private bool IsOneBlock(in Sequence sequence, long i) => _problem.VisibleKeys(sequence.Keys, i + 1) <= KeyBlock;

    private readonly ref struct Tile
    {
        public long B { get; init; }
        public long H { get; init; }
        public long Query { get; init; }
        public int Rows { get; init; }

        /// <summary>First key, counted from the chunk's first.</summary>
        public long Key { get; init; }
        public long FirstKey { get; init; }
        public int Keys { get; init; }
    }

    private void Multiply<S, V>(in Tile t, in BackwardScratch s, PackedMatrix keyColumns, PackedMatrix keyRows, PackedMatrix valueColumns)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        ref readonly var p = ref _problem;
        int step = p.PaddedWidth, width = p.Width;
        const int Panel = PackedMatrix.PanelColumns;
        AttentionScores.Multiply<S, V>(s.Queries + (t.Query * step), step, t.Rows, keyColumns, t.Key, t.Keys, s.Scores, KeyBlock, AttentionScores.ScoreDepth);
        AttentionScores.Multiply<S, V>(s.Grads + (t.Query * step), step, t.Rows, valueColumns, t.Key, t.Keys, s.Slopes, KeyBlock, AttentionScores.SlopeDepth);
        for (int r = 0; r < t.Rows; r++)
        {
            Row<S, V>(t, r, s);
        }
        // dV += Pᵀ·dO, dK += dSᵀ·Q: rows of the product are keys.
        int depth = width <= Panel ? NarrowDepth : QueryBlock;
        for (int r = 0; r < t.Rows; r += depth)
        {
            int rows = Math.Min(depth, t.Rows - r);
            GemmTiles.Run<S, V>(new(s.Scores + (r * KeyBlock), 1, KeyBlock), t.Keys, s.Right(s.Grads, t.Query + r), rows, width, s.GradV + (t.Key * step), step, add: true);
            GemmTiles.Run<S, V>(new(s.Slopes + (r * KeyBlock), 1, KeyBlock), t.Keys, s.Right(s.Queries, t.Query + r), rows, width, s.GradK + (t.Key * step), step, add: true);
        }
        GemmTiles.Run<S, V>(new(s.Slopes, KeyBlock, 1), t.Rows, keyRows.Block(0, t.Key), t.Keys, width, s.GradQ + (t.Query * step), step, add: true);
    }

    /// <summary>Scores become P, products with dO become dS.</summary>
    private void Row<S, V>(in Tile t, int r, in BackwardScratch s) where S : struct, ISimd<V> where V : unmanaged
    {
        float* scores = s.Scores + (r * KeyBlock), slopes = s.Slopes + (r * KeyBlock);
        long i = t.Query + r, key = t.FirstKey + t.Key;
        float sum = s.Totals[i];
        if (sum == 0)
        {
            new Span<float>(scores, t.Keys).Clear();
            new Span<float>(slopes, t.Keys).Clear();
            return;
        }
        AttentionScores.Mask<S, V>(_problem, scores, t.B, t.H, i, key, t.Keys);
        // 1/sum in two parts: its rounding would be common to the whole row.
        float inverse = 1 / sum;
        V max = S.Create(s.Maxima[i]), high = S.Create(inverse), low = S.Create(inverse * MathF.FusedMultiplyAdd(-sum, inverse, 1));
        for (int j = 0; j < t.Keys; j += S.Width)
        {
            var power = SimdMath.Exp2<S, V>(S.Sub(S.Load(scores + j), max), _problem.Power);
            S.Store(scores + j, S.Fma(power, high, S.Mul(power, low)));
        }
        // Δ = Σ_j P∘dP as well, and better: the rounding of dP then cancels where few keys have all the weight.
        bool allKeys = key == 0 && IsOneBlock(_problem.Sequences[t.B], i);
        V delta = S.Create(allKeys ? AttentionScores.Dot<S, V>(scores, slopes, t.Keys) : s.Deltas[i]), lseGrad = S.Create(s.LseGrads[i]), sumOfSlopes = S.Zero;
        for (int j = 0; j < t.Keys; j += S.Width)
        {
            var slope = S.Mul(S.Load(scores + j), S.Add(S.Sub(S.Load(slopes + j), delta), lseGrad));
            S.Store(slopes + j, slope);
            sumOfSlopes = S.Add(sumOfSlopes, slope);
        }
        if (S.AnyNaN(sumOfSlopes))
        {
            AttentionScores.ClearHidden<S, V>(_problem, slopes, t.B, t.H, i, key, t.Keys);
        }
        if (GradBias.SharedByKeys)
        {
            if (key == 0)
            {
                // A common offset changes no probability: Σ_j dS = dlse. The product is 0, or NaN where the row is not finite.
                GradBias.AddToRow(s.LseGrads[i] + (0 * s.Maxima[i] * s.Deltas[i]), t.B, t.H, i);
            }
        }
        else if (GradBias.Exists)
        {
            GradBias.Add(slopes, t.B, t.H, i, key, t.Keys);
        }
    }

    private void FinishQueries<S, V>(long b, long h, long chunk, in BackwardScratch scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        for (long i = 0; i < p.Sequences[b].Queries; i++)
        {
            Gradients.StoreQuery<S, V>(p, b, h, chunk, i, scratch.GradQ + (i * p.PaddedWidth));
        }
    }
}
