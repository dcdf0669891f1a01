using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Allocation and launch, forward and backward. Arguments have been checked.</summary>
internal static unsafe class AttentionOp
{
    // Enough items for the cores of a small machine; more would cost partial gradients without need.
    private const long BackwardItems = 8;

    /// <summary>Output; log-sum-exp if asked for; row statistics for backward if a graph is recorded.</summary>
    public static (Tensor Output, Tensor? Lse, Tensor? Statistics) Forward(AttentionCall call, Tensor?[] inputs)
    {
        var shape = call.ShapeOf(inputs);
        var like = new TensorView(inputs[0]!);
        var output = Allocate.Empty(call.OutputSizes(shape), like.DType);
        var lse = call.WithLse ? Allocate.Empty(call.LseSizes(shape), DType.Float32) : null;
        var statistics = call.Training ? Allocate.Empty([2, RowCount(call, shape)], DType.Float32) : null;
        if (output.numel() > 0)
        {
            ForwardInto(call, inputs, output, lse, statistics);
        }
        return (output, lse, statistics);
    }

    /// <summary>Forward into memory that exists. At least one query.</summary>
    internal static void ForwardInto(AttentionCall call, Tensor?[] inputs, Tensor output, Tensor? lse, Tensor? statistics)
    {
        var shape = call.ShapeOf(inputs);
        using var table = Workspace.Rent(shape.Batch * sizeof(Sequence));
        bool bfloat16 = UsesBFloat16Product(call, inputs);
        var problem = Problem(call, shape, inputs, (Sequence*)table.Pointer, bfloat16 ? AttentionForwardBFloat16.QueryBlock : AttentionForward.QueryBlock, out long items);
        var to = new AttentionOutput(call.Heads(output), Floats(lse), Floats(statistics), RowCount(call, shape));
        if (Dispatcher.UsesOpenCl)
        {
            AttentionOpenCl.Forward(problem, to, new TensorView(output).DType);
        }
        else if (bfloat16)
        {
            CpuBackend.Run(new AttentionForwardBFloat16(problem, to), items, 1);
        }
        else
        {
            CpuBackend.Run(new AttentionForward(problem, to), items, 1);
        }
    }

    /// <summary>Gradients of the inputs, the mask's last.</summary>
    public static Tensor?[] Backward(AttentionCall call, Tensor?[] inputs, Tensor output, Tensor statistics, Tensor? gradOutput, Tensor? gradLse, bool[] needed)
    {
        var dtype = new TensorView(inputs[0]!).DType;
        var gradients = new Tensor?[inputs.Length];
        for (int i = 0; i < call.Operands; i++)
        {
            gradients[i] = Allocate.Empty(new TensorView(inputs[i]!).Sizes, dtype);
        }
        var gradBias = needed[^1] ? zeros(inputs[^1]!.shape, dtype: IsBroadcast(call, inputs) && !Dispatcher.UsesOpenCl ? float64 : float32) : null;
        if (inputs[0]!.numel() == 0 || inputs[call.Operands - 1]!.numel() == 0)
        {
            // No queries or no keys: nothing depends on anything.
            Array.ForEach(gradients, g => g?.zero_());
        }
        else
        {
            BackwardInto(call, inputs, output, statistics, gradOutput ?? zeros_like(output), gradLse?.to(float32).contiguous(), gradients, gradBias);
        }
        gradients[^1] = gradBias?.to(inputs[^1]!.dtype);
        return gradients;
    }

    /// <summary>Backward into memory that exists; the bias gradient, float32 or (where it is a sum) float64, is added to. At least one query and key.</summary>
    internal static void BackwardInto(AttentionCall call, Tensor?[] inputs, Tensor output, Tensor statistics, Tensor gradOutput, Tensor? gradLse, Tensor?[] gradients, Tensor? gradBias)
    {
        var shape = call.ShapeOf(inputs);
        using var table = Workspace.Rent(shape.Batch * sizeof(Sequence));
        var problem = Problem(call, shape, inputs, (Sequence*)table.Pointer, AttentionForward.QueryBlock, out _);
        var bias = gradBias is null ? default : new BiasGradient(new TensorView(gradBias));
        if (Dispatcher.UsesOpenCl)
        {
            AttentionOpenCl.Backward(problem, Gradients(call, shape, output, statistics, gradOutput, gradLse, gradients), bias, new TensorView(output).DType);
            return;
        }
        var (maxQueries, maxKeys) = Longest(problem);
        long units = (bias.SharedByBatch ? 1 : shape.Batch) * (bias.SharedByHeads ? 1 : shape.KvHeads);
        bool bfloat16 = UsesBFloat16Product(call, inputs);
        var (chunks, chunkKeys) = Chunk(units, maxKeys, bfloat16 ? AttentionBackwardBFloat16.KeyBlock : AttentionBackward.KeyBlock);
        long rows = RowCount(call, shape);
        using var partials = Workspace.Rent(chunks == 1 ? 0 : chunks * rows * problem.PaddedWidth * sizeof(float));
        var into = Gradients(call, shape, output, statistics, gradOutput, gradLse, gradients) with
        {
            ChunkKeys = chunkKeys,
            Chunks = chunks,
            QueryPartials = chunks == 1 ? null : partials.Floats,
            MaxQueries = maxQueries,
        };
        if (bfloat16)
        {
            var kernel = new AttentionBackwardBFloat16 { Problem = problem, Gradients = into };
            CpuBackend.Run(kernel, kernel.Items, 1);
        }
        else
        {
            var kernel = new AttentionBackward { Problem = problem, Gradients = into, GradBias = bias };
            CpuBackend.Run(kernel, kernel.Items, 1);
        }
        if (chunks > 1)
        {
            CpuBackend.Run(new QueryGradientSum(problem, into.Q, partials.Floats, chunks, rows), shape.Batch * shape.Heads, 1);
        }
    }

    private static AttentionGradients Gradients(AttentionCall call, in AttentionShape shape, Tensor output, Tensor statistics, Tensor gradOutput, Tensor? gradLse, Tensor?[] gradients) => new()
    {
        Output = call.Heads(output),
        GradOutput = call.Heads(gradOutput),
        GradLse = Floats(gradLse),
        Statistics = Floats(statistics),
        StatisticsLength = RowCount(call, shape),
        Q = call.Part(gradients, 0),
        K = call.Part(gradients, 1),
        V = call.Part(gradients, 2),
    };

    // Forward and backward of one call alike: where one key has all the weight, both must find the same scores to the bit. The gradients
    // beside a mask are the own kernel's.
    private static bool UsesBFloat16Product(AttentionCall call, Tensor?[] inputs) =>
        new TensorView(inputs[0]!).DType == DType.BFloat16 && (!call.Training || inputs[^1] is null) && AttentionDispatch.UsesBFloat16Product;

    private static bool IsBroadcast(AttentionCall call, Tensor?[] inputs)
    {
        var s = call.ShapeOf(inputs);
        return inputs[^1]!.numel() < s.Batch * s.Heads * s.Queries * s.Keys;
    }

    // By shape only: the order of sums must not depend on the number of threads.
    private static (long Chunks, long Keys) Chunk(long units, long keys, int block)
    {
        long wanted = Math.Max(1, BackwardItems / units);
        long blocks = Blocks(keys, block);
        long perChunk = Math.Max(1, (blocks + wanted - 1) / wanted) * block;
        return (Math.Max(1, (keys + perChunk - 1) / perChunk), perChunk);
    }

    private static AttentionProblem Problem(AttentionCall call, in AttentionShape shape, Tensor?[] inputs, Sequence* sequences, int queryBlock, out long items)
    {
        items = 0;
        for (int b = 0; b < shape.Batch; b++)
        {
            long firstQuery = call.QueryOffsets?[b] ?? 0, firstKey = call.KeyOffsets?[b] ?? 0;
            long queries = call.QueryOffsets is { } q ? q[b + 1] - firstQuery : shape.Queries;
            long keys = call.KeyOffsets is { } k ? k[b + 1] - firstKey : shape.Keys;
            sequences[b] = new(firstQuery, queries, firstKey, keys, items);
            items += shape.Heads * Blocks(queries, queryBlock);
        }
        var problem = new AttentionProblem
        {
            Sequences = sequences,
            SequenceCount = shape.Batch,
            Heads = shape.Heads,
            KvHeads = shape.KvHeads,
            Width = checked((int)shape.Width),
            Causal = call.Causal,
            Mask = inputs[^1] is { } mask ? new(new TensorView(mask)) : default,
            Q = call.Part(inputs, 0),
            K = call.Part(inputs, 1),
            V = call.Part(inputs, 2),
            Rows = call.Rows(shape),
        };
        problem.SetScale(call.Scale ?? 1 / Math.Sqrt(shape.Width));
        return problem;
    }

    internal static long Blocks(long rows, int block) => (rows + block - 1) / block;

    private static (long Queries, long Keys) Longest(in AttentionProblem problem)
    {
        long queries = 0, keys = 0;
        for (long b = 0; b < problem.SequenceCount; b++)
        {
            queries = Math.Max(queries, problem.Sequences[b].Queries);
            keys = Math.Max(keys, problem.Sequences[b].Keys);
        }
        return (queries, keys);
    }

    private static long RowCount(AttentionCall call, in AttentionShape s) => s.Heads * s.Queries * (call.Layout == AttentionLayout.Varlen ? 1 : s.Batch);

    private static float* Floats(Tensor? tensor) => tensor is null ? null : (float*)new TensorView(tensor).Data;
}
