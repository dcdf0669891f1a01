using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>How queries, keys and values lie in the op's arguments.</summary>
internal enum AttentionLayout
{
    /// <summary>[B, N, H, D] each.</summary>
    RowsThenHeads,

    /// <summary>[B, H, N, D] each.</summary>
    HeadsThenRows,

    /// <summary>[B, N, 3, H, D], one tensor.</summary>
    Packed,

    /// <summary>[T, H, D] each, sequences behind each other.</summary>
    Varlen,
}

/// <summary>Sizes of one call.</summary>
internal readonly record struct AttentionShape(long Batch, long Queries, long Keys, long Heads, long KvHeads, long Width);

/// <summary>Options and layout of one call: what backward needs besides tensors.</summary>
internal sealed class AttentionCall
{
    /// <summary>Channels per head that the kernels' fixed blocks hold.</summary>
    public const int MaxWidth = 1024;

    public required AttentionLayout Layout { get; init; }
    public required bool Causal { get; init; }
    public required double? Scale { get; init; }
    public bool WithLse { get; init; }

    /// <summary>First row of each sequence and the end of the last; Varlen only.</summary>
    public long[]? QueryOffsets { get; init; }
    public long[]? KeyOffsets { get; init; }

    /// <summary>Whether backward will need row statistics.</summary>
    public bool Training { get; set; }

    /// <summary>Number of tensors that hold queries, keys and values; the mask follows them.</summary>
    public int Operands => Layout == AttentionLayout.Packed ? 1 : 3;

    private int RowDim => Layout switch { AttentionLayout.HeadsThenRows => 2, AttentionLayout.Varlen => 0, _ => 1 };

    private int HeadDim => Layout switch { AttentionLayout.HeadsThenRows => 1, AttentionLayout.RowsThenHeads => 2, AttentionLayout.Varlen => 1, _ => 3 };

    private string LayoutName => Layout switch
    {
        AttentionLayout.HeadsThenRows => "[B, H, N, D]",
        AttentionLayout.RowsThenHeads => "[B, N, H, D]",
        AttentionLayout.Varlen => "[T, H, D]",
        _ => "[B, N, 3, H, D]",
    };

    /// <summary>Checks all arguments. Nothing has been allocated yet.</summary>
    public void Check(Tensor?[] inputs, string[] names)
    {
        var views = new TensorView[Operands];
        for (int i = 0; i < Operands; i++)
        {
            views[i] = Tensors.Check.Float(inputs[i], names[i]);
            Tensors.Check.Rank(views[i], Layout switch { AttentionLayout.Packed => 5, AttentionLayout.Varlen => 3, _ => 4 }, names[i], LayoutName);
            Tensors.Check.SameDType(views[i], views[0], names[i], names[0]);
        }
        Dispatcher.For(views[0], names[0]);
        if (Layout == AttentionLayout.Packed && views[0].Size(2) != 3)
        {
            Tensors.Check.Throw(names[0], $"has shape {Tensors.Check.Show(views[0].Sizes)}; its third dimension must be 3: queries, keys, values.");
        }
        var shape = ShapeOf(inputs);
        if (Layout != AttentionLayout.Packed)
        {
            CheckSeparate(views, names, shape);
        }
        if (shape.Width is 0 or > MaxWidth)
        {
            Tensors.Check.Throw(names[0], $"has shape {Tensors.Check.Show(views[0].Sizes)}, {shape.Width} channels per head; there must be 1 to {MaxWidth}.");
        }
        if (Scale is { } scale && !double.IsFinite(scale))
        {
            throw new ArgumentException($"scale is {scale}; it must be finite. Pass null for 1/√D.");
        }
        if (inputs[Operands] is { } mask)
        {
            CheckMask(mask, views[0].DType, shape);
        }
    }

    private void CheckSeparate(TensorView[] views, string[] names, in AttentionShape shape)
    {
        long[] expected = views[1].Sizes.ToArray();
        expected[^1] = shape.Width;
        if (Layout != AttentionLayout.Varlen)
        {
            expected[0] = shape.Batch;
        }
        Tensors.Check.Shape(views[1], expected, names[1]);
        Tensors.Check.Shape(views[2], expected, names[2]);
        if (shape.KvHeads == 0 ? shape.Heads != 0 : shape.Heads % shape.KvHeads != 0)
        {
            Tensors.Check.Throw(names[1], $"has {shape.KvHeads} heads; the {shape.Heads} heads of {names[0]} must be a multiple of them (layout {LayoutName}).");
        }
    }

    private static void CheckMask(Tensor mask, DType dtype, in AttentionShape shape)
    {
        const string Name = "attn_mask";
        var view = Tensors.Check.View(mask, Name);
        if (view.DType is not (DType.Bool or DType.Float32 or DType.Float16 or DType.BFloat16))
        {
            Tensors.Check.Throw(Name, $"has dtype {view.DType}; it must be Bool (true: attend) or an additive Float32, BFloat16 or Float16.");
        }
        if (view.DType != DType.Bool && view.DType != DType.Float32 && view.DType != dtype)
        {
            Tensors.Check.Throw(Name, $"has dtype {view.DType}; beside queries of {dtype} an additive mask must be that or Float32. Convert it with .to(dtype).");
        }
        ReadOnlySpan<long> full = [shape.Batch, shape.Heads, shape.Queries, shape.Keys];
        bool fits = view.Rank <= 4;
        for (int d = 1; fits && d <= view.Rank; d++)
        {
            fits = view.Size(-d) == 1 || view.Size(-d) == full[^d];
        }
        if (!fits)
        {
            Tensors.Check.Throw(Name, $"has shape {Tensors.Check.Show(view.Sizes)}; it must be broadcastable to [B, H, Nq, Nk] = {Tensors.Check.Show(full)}.");
        }
    }

    public AttentionShape ShapeOf(Tensor?[] inputs)
    {
        var q = new TensorView(inputs[0]!);
        var k = Layout == AttentionLayout.Packed ? q : new TensorView(inputs[1]!);
        long batch = Layout == AttentionLayout.Varlen ? QueryOffsets!.Length - 1 : q.Size(0);
        return new(batch, q.Size(RowDim), k.Size(RowDim), q.Size(HeadDim), k.Size(HeadDim), q.Size(-1));
    }

    /// <summary>Natural logarithms per unit of the scores that the kernels keep.</summary>
    public double ScoreUnit(Tensor?[] inputs)
    {
        var problem = new AttentionProblem { Mask = inputs[Operands] is { } mask ? new(new TensorView(mask)) : default };
        problem.SetScale(Scale ?? 1 / Math.Sqrt(ShapeOf(inputs).Width));
        return problem.ScoreUnit;
    }

    /// <summary>One of queries, keys and values (or of their gradients, or the output as part 0 of its own) by strides.</summary>
    public HeadTensor Part(Tensor?[] tensors, int part)
    {
        if (Layout == AttentionLayout.Packed)
        {
            var packed = new TensorView(tensors[0]!);
            return new(packed, 0, 1, 3, part * packed.Stride(2));
        }
        return Heads(tensors[part]!);
    }

    /// <summary>The output or its gradient by strides: laid out as queries are, without the packing.</summary>
    public HeadTensor Heads(Tensor tensor) => Layout switch
    {
        AttentionLayout.HeadsThenRows => new(new TensorView(tensor), 0, 2, 1),
        AttentionLayout.Varlen => new(new TensorView(tensor), -1, 0, 1),
        _ => new(new TensorView(tensor), 0, 1, 2),
    };

    public long[] OutputSizes(in AttentionShape s) => Layout switch
    {
        AttentionLayout.HeadsThenRows => [s.Batch, s.Heads, s.Queries, s.Width],
        AttentionLayout.Varlen => [s.Queries, s.Heads, s.Width],
        _ => [s.Batch, s.Queries, s.Heads, s.Width],
    };

    public long[] LseSizes(in AttentionShape s) => Layout == AttentionLayout.Varlen ? [s.Heads, s.Queries] : [s.Batch, s.Heads, s.Queries];

    /// <summary>Where the statistics of a row lie, counted in rows of the whole batch.</summary>
    public RowStatistics Rows(in AttentionShape s) => Layout == AttentionLayout.Varlen ? new(0, s.Queries) : new(s.Heads * s.Queries, s.Queries);
}
