using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Norm;
using static TorchSharp.torch;

namespace SailVit.Kernels.Accelerated;

/// <summary>native_layer_norm(input, normalized_shape, weight?, bias?, eps) → output, mean, rstd.</summary>
internal readonly unsafe struct NativeLayerNorm : IAcceleratedOperator
{
    private const int Input = 0, Shape = 1, Weight = 2, Bias = 3, Eps = 4;

    public static ReadOnlySpan<byte> Name => "aten::native_layer_norm\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TLttN"u8;

    public static bool Serves(in OperatorCall call) =>
        NormArguments.TryRows(call, Input, Shape, out var x) && NormArguments.AreParameters(call, Weight, Bias, Shape) && NormArguments.IsWorthIt(x);

    public static Tensor?[] Run(in OperatorCall call)
    {
        var input = call.TensorAt(Input)!;
        int trailing = call.ListAt(Shape).Length;
        var (output, _, statistics) = NormOp<Centered>.Forward(
            new(trailing, call.NumberAt(Eps), float32), input, null, call.TensorAt(Weight), call.TensorAt(Bias), training: true);
        var sizes = new TensorView(input).Sizes.ToArray();
        Array.Fill(sizes, 1, sizes.Length - trailing, trailing);
        var mean = Allocate.Empty(sizes, DType.Float32);
        var rstd = Allocate.Empty(sizes, DType.Float32);
        NormStatistics.Split(new TensorView(statistics!), new TensorView(mean), new TensorView(rstd));
        return [output, mean, rstd];
    }

    public static void RunStock(in OperatorCall call)
    {
        if (NormArguments.TryRows(call, Input, Shape, out _))
        {
            StockOperators.Dispatch(call, Name, 3);
            return;
        }
        // What libtorch takes here as well is not lost: the general way follows.
        var shape = call.ListAt(Shape);
        nint result;
        fixed (long* first = shape)
        {
            result = StockOperators.THSNN_layer_norm(call.HandleAt(Input), first, shape.Length, call.HandleAt(Weight), call.HandleAt(Bias), call.NumberAt(Eps));
        }
        if (result == 0)
        {
            StockOperators.Report(Name);
            call.ReturnHandles(0, 0, 0);
            return;
        }
        _ = Shim.aoti_torch_delete_tensor_object(result);
        StockOperators.Dispatch(call, Name, 3);
    }
}

/// <summary>native_layer_norm_backward(grad_out, input, normalized_shape, mean, rstd, weight?, bias?, output_mask) → gradients of
/// input, weight and bias.</summary>
internal readonly struct NativeLayerNormBackward : IAcceleratedOperator
{
    private const int GradOut = 0, Input = 1, Shape = 2, Mean = 3, Rstd = 4, Weight = 5, Bias = 6, Wanted = 7;

    public static ReadOnlySpan<byte> Name => "aten::native_layer_norm_backward\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TTLTTttL"u8;

    public static bool Serves(in OperatorCall call) =>
        NormArguments.TryRows(call, Input, Shape, out var x) && NormArguments.AreParameters(call, Weight, Bias, Shape)
        && PlainTensor.TryView(call.HandleAt(GradOut), out var dy) && dy.DType == DType.Float32 && dy.Sizes.SequenceEqual(x.Sizes)
        && NormStatistics.Fit(call, Mean, x, Shape) && NormStatistics.Fit(call, Rstd, x, Shape) && NormArguments.IsWorthIt(x);

    public static Tensor?[] Run(in OperatorCall call)
    {
        var mean = new TensorView(call.HandleAt(Mean));
        var statistics = Allocate.Empty([mean.Length, RowStatistics.Count<Centered>()], DType.Float32);
        NormStatistics.Join(mean, new TensorView(call.HandleAt(Rstd)), new TensorView(statistics));
        var wanted = call.ListAt(Wanted);
        var (weight, bias) = (call.TensorAt(Weight), call.TensorAt(Bias));
        return NormOp<Centered>.Backward(new(new(call.ListAt(Shape).Length, 0, float32), call.TensorAt(Input)!, statistics, weight, bias, call.TensorAt(GradOut)!, null)
        {
            InputWanted = (byte)wanted[0] != 0,
            WeightWanted = (byte)wanted[1] != 0 && weight is not null,
            BiasWanted = (byte)wanted[2] != 0 && bias is not null,
        })[..3];
    }

    public static void RunStock(in OperatorCall call) => StockOperators.Dispatch(call, Name, 3);

    public static long[]?[] GradientSizes(in OperatorCall call)
    {
        var wanted = call.ListAt(Wanted);
        return [(byte)wanted[0] != 0 ? call.SizesAt(Input) : null, (byte)wanted[1] != 0 ? call.SizesAt(Weight) : null, (byte)wanted[2] != 0 ? call.SizesAt(Bias) : null];
    }
}

/// <summary>What both directions ask of their arguments.</summary>
internal static class NormArguments
{
    // One row block: below, the way through managed code takes longer than the norm.
    private const long FewestElements = 1 << 15;

    public static bool IsWorthIt(in TensorView x) => x.Length >= FewestElements;

    /// <summary>Whether the input is a plain float32 tensor that ends in normalized_shape.</summary>
    public static bool TryRows(in OperatorCall call, int input, int shape, out TensorView x)
    {
        var row = call.ListAt(shape);
        return PlainTensor.TryView(call.HandleAt(input), out x) && x.DType == DType.Float32 && row.Length > 0 && x.Rank >= row.Length && x.Sizes[^row.Length..].SequenceEqual(row);
    }

    public static bool AreParameters(in OperatorCall call, int weight, int bias, int shape) => IsParameter(call, weight, shape) && IsParameter(call, bias, shape);

    private static bool IsParameter(in OperatorCall call, int i, int shape) =>
        call.HandleAt(i) == 0 || (PlainTensor.TryView(call.HandleAt(i), out var view) && view.DType == DType.Float32 && view.Sizes.SequenceEqual(call.ListAt(shape)));
}

/// <summary>Between libtorch's statistics (mean and rstd apart) and those of the kernels (three floats per row: r, μ, rest of μ).</summary>
internal static unsafe class NormStatistics
{
    public static bool Fit(in OperatorCall call, int i, in TensorView x, int shape)
    {
        if (!PlainTensor.TryView(call.HandleAt(i), out var view) || view.DType != DType.Float32 || !view.IsContiguous)
        {
            return false;
        }
        long width = 1;
        foreach (long size in call.ListAt(shape))
        {
            width *= size;
        }
        return view.Length * width == x.Length;
    }

    public static void Split(in TensorView statistics, in TensorView mean, in TensorView rstd)
    {
        var from = (float*)statistics.Data;
        for (long row = 0; row < mean.Length; row++, from += 3)
        {
            ((float*)rstd.Data)[row] = from[0];
            ((float*)mean.Data)[row] = from[1];
        }
    }

    public static void Join(in TensorView mean, in TensorView rstd, in TensorView statistics)
    {
        var to = (float*)statistics.Data;
        for (long row = 0; row < mean.Length; row++, to += 3)
        {
            to[0] = ((float*)rstd.Data)[row];
            to[1] = ((float*)mean.Data)[row];
            to[2] = 0;
        }
    }
}
