using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary><see cref="AttentionForward"/> for bfloat16 where the processor has bfloat16 dot products: both products are
/// <see cref="BFloat16Product"/>'s, sums and the softmax stay float32, probabilities are rounded to bfloat16 as stock's are.</summary>
/// <remarks>All tiles have full size, padded with zeros: each size is compiled once. Workspace per thread: 2·keys·D bfloat16 and the blocks.</remarks>
internal readonly unsafe struct AttentionForwardBFloat16(AttentionProblem problem, AttentionOutput output) : ICpuKernel
{
    /// <summary>Queries of a block.</summary>
    public const int QueryBlock = 64;

    /// <summary>Keys per step of the online softmax.</summary>
    public const int KeyBlock = 128;

    private readonly AttentionProblem _problem = problem;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        int step = p.PaddedWidth;
        long longest = AttentionOp.Blocks(p.LongestKeys(begin, end), KeyBlock) * KeyBlock;
        using var heads = Workspace.Rent(3 * longest * step * sizeof(ushort));
        using var blocks = Workspace.Rent(QueryBlock * ((step + KeyBlock + 2) * sizeof(float) + ((step + KeyBlock) * sizeof(ushort))));
        ushort* keyPairs = (ushort*)heads.Pointer, valuePairs = keyPairs + (longest * step), rows = valuePairs + (longest * step);
        var scratch = new Scratch(blocks.Floats, step);
        long owner = -1;
        for (long item = begin; item < end; item++)
        {
            var (b, h, first) = p.ForwardItem(item, QueryBlock);
            ref readonly var sequence = ref p.Sequences[b];
            long kvHead = h / p.Group;
            if (owner != (b * p.KvHeads) + kvHead)
            {
                owner = (b * p.KvHeads) + kvHead;
                long padded = AttentionOp.Blocks(sequence.Keys, KeyBlock) * KeyBlock;
                BFloat16Rows.Copy(p.K.Matrix(b, sequence.FirstKey, kvHead, sequence.Keys, p.Width), 0, sequence.Keys, padded, step, negate: false, rows);
                BFloat16Rows.PairTransposed(rows, padded, step, keyPairs);
                BFloat16Rows.Copy(p.V.Matrix(b, sequence.FirstKey, kvHead, sequence.Keys, p.Width), 0, sequence.Keys, padded, step, negate: false, rows);
                BFloat16Rows.Pair<S, V>(rows, padded, step, valuePairs);
            }
            Block<S, V>(b, h, first, keyPairs, valuePairs, scratch);
        }
        BFloat16Product.Release();
    }

    private readonly struct Scratch
    {
        public Scratch(float* memory, int step)
        {
            Sums = memory;
            Scores = Sums + (QueryBlock * step);
            Max = Scores + (QueryBlock * KeyBlock);
            Total = Max + QueryBlock;
            Queries = (ushort*)(Total + QueryBlock);
            Powers = Queries + (QueryBlock * step);
        }

        public float* Sums { get; }
        public float* Scores { get; }
        public float* Max { get; }
        public float* Total { get; }
        public ushort* Queries { get; }
        public ushort* Powers { get; }
    }

    private void Block<S, V>(long b, long h, long first, ushort* keyPairs, ushort* valuePairs, in Scratch s) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        ref readonly var sequence = ref p.Sequences[b];
        int step = p.PaddedWidth;
        int rows = (int)Math.Min(QueryBlock, sequence.Queries - first);
        new Span<float>(s.Max, rows).Fill(float.NegativeInfinity);
        new Span<float>(s.Total, rows).Clear();
        new Span<ushort>(s.Powers + (rows * KeyBlock), (QueryBlock - rows) * KeyBlock).Clear();
        BFloat16Rows.Copy(p.Q.Matrix(b, sequence.FirstQuery, h, sequence.Queries, p.Width), first, rows, QueryBlock, step, p.QuerySign < 0, s.Queries);

        long visible = p.VisibleKeys(sequence.Keys, sequence.KeysBefore + first + rows);
        for (long key = 0; key < visible; key += KeyBlock)
        {
            int keys = (int)Math.Min(KeyBlock, visible - key);
            for (int j = 0; j < KeyBlock; j += PackedMatrix.StripColumns)
            {
                BFloat16Product.Multiply(QueryBlock, PackedMatrix.StripColumns, step, s.Queries, step, keyPairs + ((key + j) * step), PackedMatrix.StripColumns, s.Scores + j, KeyBlock, add: false);
            }
            for (int r = 0; r < rows; r++)
            {
                var row = s.Scores + (r * KeyBlock);
                AttentionScores.Mask<S, V>(p, row, b, h, first + r, key, keys);
                float correction = AttentionScores.Exponentiate<S, V>(row, keys, p.Power, ref s.Max[r], ref s.Total[r]);
                BFloat16Rows.Round<S, V>(row, keys, KeyBlock, s.Powers + (r * KeyBlock));
                if (correction != 1 && key > 0)
                {
                    AttentionScores.Scale<S, V>(s.Sums + (r * step), p.Width, correction);
                }
            }
            BFloat16Product.Multiply(QueryBlock, step, KeyBlock, s.Powers, KeyBlock, valuePairs + (key * step), step, s.Sums, step, add: key > 0);
        }
        output.Finish<S, V>(p, b, h, first, rows, s.Sums, step, s.Max, s.Total);
    }
}
