using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>softmax(scale·Q·Kᵀ + mask)·V over blocks of queries; no more scores exist than one block's.</summary>
/// <remarks>
/// An item is (sequence, head, block of <see cref="QueryBlock"/> queries). A thread packs a head's keys and values once for
/// all items in a row that use them. Blocks are independent, so results do not depend on the number of threads.
/// Workspace per thread: 2·keys·D floats and the blocks.
/// </remarks>
internal readonly unsafe struct AttentionForward(AttentionProblem problem, AttentionOutput output) : ICpuKernel
{
    /// <summary>Eight register tiles of six rows: they share one load of a strip of keys into the first cache.</summary>
    public const int QueryBlock = 48;

    /// <summary>Keys per step of the online softmax.</summary>
    public const int KeyBlock = 128;

    private readonly AttentionProblem _problem = problem;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        long keys = p.LongestKeys(begin, end);
        using var packed = Workspace.Rent((PackedMatrix.FloatsOf(p.Width, keys) + PackedMatrix.FloatsOf(keys, p.Width)) * sizeof(float));
        using var blocks = Workspace.Rent(QueryBlock * ((2 * p.PaddedWidth) + KeyBlock + 2) * sizeof(float));
        long owner = -1;
        for (long item = begin; item < end; item++)
        {
            var (b, h, first) = p.ForwardItem(item, QueryBlock);
            ref readonly var sequence = ref p.Sequences[b];
            long kvHead = h / p.Group;
            var k = new PackedMatrix(packed.Floats, p.Width, sequence.Keys);
            var v = new PackedMatrix(packed.Floats + PackedMatrix.FloatsOf(p.Width, keys), sequence.Keys, p.Width);
            if (owner != (b * p.KvHeads) + kvHead)
            {
                owner = (b * p.KvHeads) + kvHead;
                RightOperand.Transposed(p.K.Matrix(b, sequence.FirstKey, kvHead, sequence.Keys, p.Width)).Pack<S, V>(k);
                RightOperand.Of(p.V.Matrix(b, sequence.FirstKey, kvHead, sequence.Keys, p.Width)).Pack<S, V>(v);
            }
            Block<S, V>(b, h, first, k, v, blocks.Floats);
        }
    }

    private void Block<S, V>(long b, long h, long first, PackedMatrix k, PackedMatrix v, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        int step = p.PaddedWidth;
        int rows = (int)Math.Min(QueryBlock, sequence.Queries - first);
        float* queries = scratch, sums = queries + (QueryBlock * step), scores = sums + (QueryBlock * step);
        float* max = scores + (QueryBlock * KeyBlock), total = max + QueryBlock;
        new Span<float>(max, rows).Fill(float.NegativeInfinity);
        new Span<float>(total, rows).Clear();
        AttentionScores.CopyQueries<S, V>(p, p.Q.Matrix(b, sequence.FirstQuery, h, sequence.Queries, p.Width), first, rows, queries);

        long visible = p.VisibleKeys(sequence.Keys, sequence.KeysBefore + first + rows);
        for (long key = 0; key < visible; key += KeyBlock)
        {
            int keys = (int)Math.Min(KeyBlock, visible - key);
            AttentionScores.Multiply<S, V>(queries, step, rows, k, key, keys, scores, KeyBlock, AttentionScores.ScoreDepth);
            for (int r = 0; r < rows; r++)
            {
                var row = scores + (r * KeyBlock);
                AttentionScores.Mask<S, V>(p, row, b, h, first + r, key, keys);
                float correction = AttentionScores.Exponentiate<S, V>(row, keys, p.Power, ref max[r], ref total[r]);
                if (correction != 1 && key > 0)
                {
                    AttentionScores.Scale<S, V>(sums + (r * step), p.Width, correction);
                }
            }
            for (int j = 0; j < keys; j += AttentionScores.ValueDepth)
            {
                GemmTiles.Run<S, V>(new(scores + j, KeyBlock, 1), rows, v.Block(0, key + j), Math.Min(AttentionScores.ValueDepth, keys - j), p.Width, sums, step, add: key + j > 0);
            }
        }
        output.Finish<S, V>(p, b, h, first, rows, sums, step, max, total);
    }
}
