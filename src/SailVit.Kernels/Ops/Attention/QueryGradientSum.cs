using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Adds the chunks' partial gradients of the queries, in chunk order. An item is a row of queries of one sequence.</summary>
internal readonly unsafe struct QueryGradientSum(AttentionProblem problem, HeadTensor gradient, float* partials, long chunks, long rows) : ICpuKernel
{
    private readonly AttentionProblem _problem = problem;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        ref readonly var p = ref _problem;
        using var lease = Workspace.Rent(p.PaddedWidth * sizeof(float));
        for (long item = begin; item < end; item++)
        {
            // Items of this kernel are (sequence, head).
            var (b, h) = Math.DivRem(item, p.Heads);
            ref readonly var sequence = ref p.Sequences[b];
            var to = gradient.Matrix(b, sequence.FirstQuery, h, sequence.Queries, p.Width);
            for (long i = 0; i < sequence.Queries; i++)
            {
                var first = partials + (p.Rows.Index(b, h, sequence.FirstQuery + i) * p.PaddedWidth);
                for (int d = 0; d < p.Width; d += S.Width)
                {
                    var sum = S.Zero;
                    for (long chunk = 0; chunk < chunks; chunk++)
                    {
                        sum = S.Add(sum, S.Load(first + (chunk * rows * p.PaddedWidth) + d));
                    }
                    S.Store(lease.Floats + d, sum);
                }
                AttentionScores.Store<S, V>(to, i, lease.Floats, (float)p.Scale);
            }
        }
    }
}
