using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Gelu;
using static TorchSharp.torch;

namespace SailVit.Kernels.Accelerated;

/// <summary>gelu(self, approximate).</summary>
internal readonly struct GeluForward : IAcceleratedOperator
{
    public static ReadOnlySpan<byte> Name => "aten::gelu\0"u8;

    public static ReadOnlySpan<byte> Arguments => "Ts"u8;

    public static bool Serves(in OperatorCall call) => ActivationPass.Serves(call, 1);

    public static Tensor?[] Run(in OperatorCall call) =>
        [call.TextIs(1, "tanh"u8) ? ActivationPass.Value<GeluTanh>(call) : ActivationPass.Value<GeluErf>(call)];

    public static void RunStock(in OperatorCall call)
    {
        if (PlainTensor.TryView(call.HandleAt(0), out var x) && x.DType is not (DType.Float32 or DType.Float64 or DType.BFloat16 or DType.Float16))
        {
            // An integer, for which there is no gelu: TorchSharp's function keeps the reason.
            StockOperators.Return(call, Name, StockOperators.THSTensor_gelu(call.HandleAt(0)));
            return;
        }
        StockOperators.Dispatch(call, Name, 1);
    }
}

/// <summary>gelu_backward(grad_output, self, approximate).</summary>
internal readonly struct GeluGradient : IAcceleratedOperator
{
    public static ReadOnlySpan<byte> Name => "aten::gelu_backward\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TTs"u8;

    public static bool Serves(in OperatorCall call) => ActivationPass.Serves(call, 2);

    public static Tensor?[] Run(in OperatorCall call) =>
        [call.TextIs(2, "tanh"u8) ? ActivationPass.Gradient<GeluTanh>(call) : ActivationPass.Gradient<GeluErf>(call)];

    public static void RunStock(in OperatorCall call) => StockOperators.Dispatch(call, Name, 1);

    public static long[]?[] GradientSizes(in OperatorCall call) => [call.SizesAt(1)];
}

/// <summary>silu(self).</summary>
internal readonly struct SiluForward : IAcceleratedOperator
{
    public static ReadOnlySpan<byte> Name => "aten::silu\0"u8;

    public static ReadOnlySpan<byte> Arguments => "T"u8;

    public static bool Serves(in OperatorCall call) => ActivationPass.Serves(call, 1);

    public static Tensor?[] Run(in OperatorCall call) => [ActivationPass.Value<Silu>(call)];

    public static void RunStock(in OperatorCall call) => StockOperators.Return(call, Name, StockOperators.THSTensor_silu(call.HandleAt(0)));
}

/// <summary>silu_backward(grad_output, self).</summary>
internal readonly unsafe struct SiluGradient : IAcceleratedOperator
{
    public static ReadOnlySpan<byte> Name => "aten::silu_backward\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TT"u8;

    public static bool Serves(in OperatorCall call) => ActivationPass.Serves(call, 2);

    public static Tensor?[] Run(in OperatorCall call) => [ActivationPass.Gradient<Silu>(call)];

    // libtorch's autograd calls this operator past the key that the others have, so its own name would lead back here; the
    // same kernel has a second name, which writes into a given tensor and sizes it.
    public static void RunStock(in OperatorCall call)
    {
        nint result;
        long none = 0, one = 1;
        int dtype;
        _ = Shim.aoti_torch_get_dtype(call.HandleAt(0), &dtype);
        _ = Shim.aoti_torch_empty_strided(1, &none, &one, dtype, 0, -1, &result);
        ulong* stack = stackalloc ulong[] { call.Stack[0], call.Stack[1], (ulong)result };
        fixed (byte* name = Name, overload = "grad_input\0"u8)
        {
            if (Shim.torch_call_dispatcher(name, overload, stack, Shim.AbiVersion) == 0)
            {
                call.Stack[0] = stack[0];
                return;
            }
        }
        call.SetUndefined(1);
    }

    public static long[]?[] GradientSizes(in OperatorCall call) => [call.SizesAt(1)];
}

/// <summary>One pass over all elements.</summary>
internal static class ActivationPass
{
    private const long FewestElements = 1 << 15;

    /// <summary>Whether the first <paramref name="tensors"/> arguments are float32, of one shape and without gaps.</summary>
    public static bool Serves(in OperatorCall call, int tensors)
    {
        if (!PlainTensor.TryView(call.HandleAt(0), out var first) || first.Length < FewestElements)
        {
            return false;
        }
        for (int i = 0; i < tensors; i++)
        {
            if (!PlainTensor.TryView(call.HandleAt(i), out var x) || x.DType != DType.Float32 || !x.IsContiguous || !x.Sizes.SequenceEqual(first.Sizes))
            {
                return false;
            }
        }
        return true;
    }

    public static Tensor Value<F>(in OperatorCall call) where F : unmanaged, ISimdActivation
    {
        var x = call.TensorAt(0)!;
        var y = Allocate.Empty(new TensorView(x).Sizes, DType.Float32);
        RowMap.For<ActivationForward<F>>(new() { A = Rows.Of(x, 1), Y = Rows.Of(y, 1) });
        return y;
    }

    public static Tensor Gradient<F>(in OperatorCall call) where F : unmanaged, ISimdActivation
    {
        var (dy, x) = (call.TensorAt(0)!, call.TensorAt(1)!);
        var dx = Allocate.Empty(new TensorView(x).Sizes, DType.Float32);
        RowMap.For<ActivationBackward<F>>(new() { A = Rows.Of(x, 1), B = Rows.Of(dy, 1), Y = Rows.Of(dx, 1) });
        return dx;
    }
}
