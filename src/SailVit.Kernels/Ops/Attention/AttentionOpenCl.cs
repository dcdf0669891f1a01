using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Launches attention on the OpenCL device in use, slice by slice of the batch's heads.</summary>
internal static unsafe class AttentionOpenCl
{
    /// <summary>Output, log-sum-exp and statistics, as asked for.</summary>
    public static void Forward(in AttentionProblem problem, in AttentionOutput to, DType dtype)
    {
        long padded = StripProduct.Padded(problem.Width);
        foreach (var slice in AttentionSlice.Of(problem, 2 * padded, 2 * padded))
        {
            MaskDispatch.For(problem.Mask.DType, new ForwardCall(problem, to, dtype, slice));
        }
    }

    /// <summary>Gradients, as asked for; that of a bias is added to.</summary>
    public static void Backward(in AttentionProblem problem, in AttentionGradients into, in BiasGradient bias, DType dtype)
    {
        long padded = StripProduct.Padded(problem.Width);
        foreach (var slice in AttentionSlice.Of(problem, AttentionBackwardStrips.PerQuery(padded), AttentionBackwardStrips.PerKey(padded)))
        {
            MaskDispatch.For(problem.Mask.DType, new BackwardCall(problem, into, bias, dtype, slice));
        }
    }

    private readonly struct BackwardCall(AttentionProblem p, AttentionGradients into, BiasGradient bias, DType dtype, AttentionSlice slice) : IMaskCall
    {
        public void Invoke<M>() where M : unmanaged, IMaskElement<M> => PortableDispatch.For(dtype, new Of<M>(p, into, bias, slice));

        private readonly struct Of<M>(AttentionProblem p, AttentionGradients into, BiasGradient bias, AttentionSlice slice) : IPortableCall where M : unmanaged, IMaskElement<M>
        {
            public void Invoke<T>() where T : unmanaged, IPortableElement<T> => AttentionOpenClBackward.Run<T, M>(p, into, bias, slice);
        }
    }

    private readonly struct ForwardCall(AttentionProblem p, AttentionOutput to, DType dtype, AttentionSlice slice) : IMaskCall
    {
        public void Invoke<M>() where M : unmanaged, IMaskElement<M> => PortableDispatch.For(dtype, new Of<M>(p, to, slice));

        private readonly struct Of<M>(AttentionProblem p, AttentionOutput to, AttentionSlice slice) : IPortableCall where M : unmanaged, IMaskElement<M>
        {
            public void Invoke<T>() where T : unmanaged, IPortableElement<T>
            {
                fixed (AttentionUnit* units = slice.Units)
                {
                    Run<T, M>(p, to, slice, HostArray.Read(units, slice.Units.Length, sizeof(AttentionUnit)));
                }
            }
        }
    }

    private static void Run<T, M>(in AttentionProblem p, in AttentionOutput to, AttentionSlice slice, HostArray units)
        where T : unmanaged, IPortableElement<T>
        where M : unmanaged, IMaskElement<M>
    {
        long padded = StripProduct.Padded(p.Width), queries = slice.QueryStrips * AttentionUnit.Strip, keys = slice.KeyStrips * AttentionUnit.Strip;
        long bytes = 2 * (queries + keys) * padded * sizeof(float);
        using var lease = Workspace.Rent(bytes);
        using var scratch = DeviceMemory.AddScratch(lease.Pointer, bytes);
        float* q = lease.Floats, sums = q + (queries * padded), k = sums + (queries * padded), v = k + (keys * padded);
        bool many = OpenClRows.UsesManyLanes;
        var strips = new AttentionStrips<T>(p, slice, units);
        strips.Queries(p.Q, p.QuerySign, many ? q : null, many ? null : q);
        strips.Keys(p.K, k, null);
        strips.Keys(p.V, null, v);
        HostArray[] arrays =
        [
            units,
            HostArray.Read(q, queries * padded, sizeof(float)),
            HostArray.Read(k, keys * p.Width, sizeof(float)),
            HostArray.Read(v, keys * padded, sizeof(float)),
            p.Mask.Array(),
            HostArray.Write(sums, queries * padded, sizeof(float)),
            to.Output.Array(p.SequenceCount, strips.LastQuery, p.Heads, p.Width, true),
            HostArray.Write(to.Lse, to.StatisticsLength, sizeof(float)),
            HostArray.Write(to.Statistics, 2 * to.StatisticsLength, sizeof(float)),
        ];
        var scalars = Scalars(p, slice);
        (scalars.Batch, scalars.Row, scalars.Head) = (to.Output.Batch, to.Output.Row, to.Output.Head);
        scalars.WantsLse = to.Lse == null ? 0 : 1;
        scalars.WantsStatistics = to.Statistics == null ? 0 : 1;
        scalars.StatisticsLength = to.StatisticsLength;
        OpenClRows.Run(
            AttentionPortableForward<T, M, RowPair<RowPair<RowTile>>, OneLane>.Kernel, AttentionPortableForward<T, M, RowTile, StripLanes>.Kernel, slice.QueryStrips, arrays, scalars);
    }

    /// <summary>What all kernels get; the rest is the caller's.</summary>
    public static AttentionScalars Scalars(in AttentionProblem p, AttentionSlice slice) => new()
    {
        Units = slice.Units.Length,
        Group = p.Group,
        Width = p.Width,
        MaskBatch = p.Mask.Batch,
        MaskHead = p.Mask.Head,
        MaskQuery = p.Mask.Query,
        MaskKey = p.Mask.Key,
        StatisticsBatch = p.Rows.Batch,
        StatisticsHead = p.Rows.Head,
        Power = p.Power,
        Factor = p.ScalesScores ? p.Magnitude : 1,
        ScoreUnit = (float)p.ScoreUnit,
        Causal = p.Causal ? 1 : 0,
    };
}
