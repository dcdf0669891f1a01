using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Attention;
using static TorchSharp.torch;

namespace SailVit.Kernels.Accelerated;

/// <summary>_scaled_dot_product_flash_attention_for_cpu(query, key, value, dropout_p, is_causal, attn_mask?, scale?) → output, logsumexp.</summary>
internal readonly unsafe struct FlashAttention : IAcceleratedOperator
{
    private const int Query = 0, Key = 1, Value = 2, Dropout = 3, Causal = 4, Mask = 5, Scale = 6;

    public static ReadOnlySpan<byte> Name => "aten::_scaled_dot_product_flash_attention_for_cpu\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TTTNNtn"u8;

    public static bool Serves(in OperatorCall call) => call.NumberAt(Dropout) == 0
        && FlashArguments.Serve(call, Query, Mask) && FlashArguments.IsScale(call.OptionalNumberAt(Scale));

    public static Tensor?[] Run(in OperatorCall call)
    {
        Tensor?[] inputs = [call.TensorAt(Query), call.TensorAt(Key), call.TensorAt(Value), call.TensorAt(Mask)];
        var q = new TensorView(inputs[0]!);
        var (batch, heads, rows, width) = (q.Size(0), q.Size(1), q.Size(2), q.Size(3));
        // Heads within rows, as libtorch leaves it: what follows is a transposition to [B, N, H·D], free of a copy then.
        var output = Allocate.Empty([batch, rows, heads, width], q.DType).transpose(1, 2);
        var lse = Allocate.Empty([batch, heads, rows], DType.Float32);
        var options = FlashArguments.Options(call, Causal, Scale);
        AttentionOp.ForwardInto(options, inputs, output, lse, null);
        return [output, lse];
    }

    public static void RunStock(in OperatorCall call) => StockOperators.Dispatch(call, Name, 2);
}

/// <summary>Its backward: (grad_out, query, key, value, out, logsumexp, dropout_p, is_causal, attn_mask?, scale?) → gradients of
/// query, key and value.</summary>
internal readonly unsafe struct FlashAttentionBackward : IAcceleratedOperator
{
    private const int GradOut = 0, Query = 1, Key = 2, Value = 3, Output = 4, LogSumExp = 5, Dropout = 6, Causal = 7, Mask = 8, Scale = 9;

    public static ReadOnlySpan<byte> Name => "aten::_scaled_dot_product_flash_attention_for_cpu_backward\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TTTTTTNNtn"u8;

    public static bool Serves(in OperatorCall call) => call.NumberAt(Dropout) == 0
        && FlashArguments.Serve(call, Query, Mask)
        && PlainTensor.TryView(call.HandleAt(Query), out var q)
        && PlainTensor.TryView(call.HandleAt(GradOut), out var dy) && dy.DType == q.DType && dy.Sizes.SequenceEqual(q.Sizes)
        && PlainTensor.TryView(call.HandleAt(Output), out var y) && y.DType == q.DType && y.Sizes.SequenceEqual(q.Sizes)
        && PlainTensor.TryView(call.HandleAt(LogSumExp), out var lse) && lse.DType == DType.Float32 && lse.Sizes.SequenceEqual(q.Sizes[..3])
        && FlashArguments.IsScale(call.OptionalNumberAt(Scale));

    public static Tensor?[] Run(in OperatorCall call)
    {
        Tensor?[] inputs = [call.TensorAt(Query), call.TensorAt(Key), call.TensorAt(Value), call.TensorAt(Mask)];
        var options = FlashArguments.Options(call, Causal, Scale);
        var statistics = FlashArguments.Statistics(call.TensorAt(LogSumExp)!, options.ScoreUnit(inputs));
        var gradients = AttentionOp.Backward(options, inputs, call.TensorAt(Output)!, statistics, call.TensorAt(GradOut), null, [true, true, true, false]);
        return gradients[..3];
    }

    // The dispatcher would lead back here: libtorch's autograd calls this operator past the key that the others have.
    public static void RunStock(in OperatorCall call)
    {
        nint mask = call.HandleAt(Mask), dq = 0, dk = 0, dv = 0;
        double scale = call.OptionalNumberAt(Scale) ?? 0;
        // After a failure the handles are 0.
        _ = Shim.aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu_backward(
            call.HandleAt(GradOut), call.HandleAt(Query), call.HandleAt(Key), call.HandleAt(Value), call.HandleAt(Output), call.HandleAt(LogSumExp),
            call.NumberAt(Dropout), call.FlagAt(Causal) ? 1 : 0, mask != 0 ? &mask : null, call.OptionalNumberAt(Scale) is not null ? &scale : null, &dq, &dk, &dv);
        call.ReturnHandles(dq, dk, dv);
    }

    public static long[]?[] GradientSizes(in OperatorCall call) => [call.SizesAt(Query), call.SizesAt(Key), call.SizesAt(Value)];
}

/// <summary>What both directions share.</summary>
internal static unsafe class FlashArguments
{
    /// <summary>Whether query, key and value (in this order from <paramref name="query"/> on) and the mask are what the kernels take.</summary>
    public static bool Serve(in OperatorCall call, int query, int mask)
    {
        if (!PlainTensor.TryView(call.HandleAt(query), out var q) || !PlainTensor.TryView(call.HandleAt(query + 1), out var k) || !PlainTensor.TryView(call.HandleAt(query + 2), out var v))
        {
            return false;
        }
        return q.DType is DType.Float32 or DType.BFloat16 or DType.Float16 && k.DType == q.DType && v.DType == q.DType
            && q.Rank == 4 && k.Rank == 4 && v.Sizes.SequenceEqual(k.Sizes) && q.Length > 0 && k.Length > 0
            && k.Size(0) == q.Size(0) && k.Size(1) == q.Size(1) && k.Size(3) == q.Size(3) && q.Size(3) <= AttentionCall.MaxWidth
            && (call.HandleAt(mask) == 0 || IsMask(call.HandleAt(mask), q, k));
    }

    /// <summary>Whether the largest score can be had from a log-sum-exp, by division.</summary>
    public static bool IsScale(double? scale) => scale is null or (> 1e-20 and < 1e20);

    public static AttentionCall Options(in OperatorCall call, int causal, int scale) =>
        new() { Layout = AttentionLayout.HeadsThenRows, Causal = call.FlagAt(causal), Scale = call.OptionalNumberAt(scale), WithLse = true, Training = true };

    /// <summary>The kernels' statistics, largest score and sum of powers, from the log-sum-exp: taking it for the largest score
    /// makes the sum 1. A row without keys has the sum 0.</summary>
    /// <param name="lse">[B, H, N], natural logarithms.</param>
    /// <param name="scoreUnit">Natural logarithms per unit of score.</param>
    public static Tensor Statistics(Tensor lse, double scoreUnit)
    {
        using var rows = lse.contiguous();
        var view = new TensorView(rows);
        var result = Allocate.Empty([2, view.Length], DType.Float32);
        float* from = (float*)view.Data, maxima = (float*)new TensorView(result).Data, sums = maxima + view.Length;
        for (long i = 0; i < view.Length; i++)
        {
            bool none = float.IsNegativeInfinity(from[i]);
            maxima[i] = none ? 0 : (float)(from[i] / scoreUnit);
            sums[i] = none ? 0 : 1;
        }
        return result;
    }

    private static bool IsMask(nint handle, in TensorView q, in TensorView k)
    {
        if (!PlainTensor.TryView(handle, out var mask) || mask.Rank > 4 || (mask.DType is not (DType.Bool or DType.Float32) && mask.DType != q.DType))
        {
            return false;
        }
        ReadOnlySpan<long> full = [q.Size(0), q.Size(1), q.Size(2), k.Size(2)];
        for (int d = 1; d <= mask.Rank; d++)
        {
            if (mask.Size(-d) != 1 && mask.Size(-d) != full[^d])
            {
                return false;
            }
        }
        return true;
    }
}
