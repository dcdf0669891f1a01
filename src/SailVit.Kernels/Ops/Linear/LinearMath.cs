using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Gelu;
using SailVit.Kernels.Ops.SwiGlu;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>The arithmetic of linear layers, by the path that was chosen; allocates results.</summary>
internal static unsafe class LinearMath
{
    /// <summary>The output and, where <paramref name="keep"/> asks for it, what the activation was applied to.</summary>
    public static (Tensor Output, Tensor? Before) Forward(LinearOptions options, Tensor x, Tensor weight, Tensor? bias, Tensor? residual, bool keep)
    {
        bool training = keep;
        keep &= options.Activation != Activation.None;
        if (options.Path == LinearPath.Own)
        {
            var output = OutputOf(x, weight);
            var before = keep ? OutputOf(x, weight) : null;
            OwnLinear.Forward(x, weight, options.Packed, bias, options.Activation, residual, before, output, training);
            return (output, before);
        }
        var product = nn.functional.linear(x, weight, bias);
        if (options.Activation == Activation.None && residual is null)
        {
            return (product, null);
        }
        var result = keep ? OutputOf(x, weight) : product;
        using var a = Rows.Of(product, 1);
        using var b = Rows.Of(residual, 1);
        using var y = Rows.Of(result, 1);
        ActivationDispatch.For(options.Activation, new ActivationCall(a, b, y));
        return (result, keep ? product : null);
    }

    /// <summary>silu(gate)·up and, where <paramref name="keep"/> asks for them, gate and up.</summary>
    public static (Tensor Output, Tensor? Gate, Tensor? Up) SwiGlu(
        LinearOptions options, Tensor x, Tensor gateWeight, Tensor upWeight, Tensor? gateBias, Tensor? upBias, bool keep)
    {
        if (options.Path == LinearPath.Own)
        {
            var output = OutputOf(x, gateWeight);
            var (keptGate, keptUp) = keep ? (OutputOf(x, gateWeight), OutputOf(x, gateWeight)) : (null, null);
            OwnLinear.SwiGlu(x, gateWeight, upWeight, options.Packed, gateBias, upBias, keptGate, keptUp, output);
            return (output, keptGate, keptUp);
        }
        var gate = nn.functional.linear(x, gateWeight, gateBias);
        var up = nn.functional.linear(x, upWeight, upBias);
        var result = keep ? OutputOf(x, gateWeight) : gate;
        using (var a = Rows.Of(gate, 1))
        using (var b = Rows.Of(up, 1))
        using (var y = Rows.Of(result, 1))
        {
            RowMap.For<SwiGluForward>(new() { A = a, B = b, Y = y });
        }
        if (keep)
        {
            return (result, gate, up);
        }
        up.Dispose();
        return (result, null, null);
    }

    /// <summary>dy·F'(before), row-major.</summary>
    public static Tensor ActivationGradient(Activation activation, Tensor before, Tensor dy)
    {
        var view = new TensorView(before);
        var result = Allocate.Empty(view.Sizes, view.DType, view);
        using var a = Rows.Of(before, 1);
        using var b = Rows.Of(dy, 1);
        using var y = Rows.Of(result, 1);
        ActivationDispatch.For(activation, new GradientCall(a, b, y));
        return result;
    }

    /// <summary>Gradients of gate and up, row-major.</summary>
    public static (Tensor Gate, Tensor Up) SwiGluGradient(Tensor gate, Tensor up, Tensor dy)
    {
        var view = new TensorView(gate);
        var dGate = Allocate.Empty(view.Sizes, view.DType, view);
        var dUp = Allocate.Empty(view.Sizes, view.DType, view);
        using var a = Rows.Of(gate, 1);
        using var b = Rows.Of(up, 1);
        using var c = Rows.Of(dy, 1);
        using var y = Rows.Of(dGate, 1);
        using var z = Rows.Of(dUp, 1);
        ElementwiseDispatch.Run<SwiGluBackward>(new() { A = a, B = b, C = c, Y = y, Z = z });
        return (dGate, dUp);
    }

    /// <summary>dy·weight, in the shape of the layer's input.</summary>
    public static Tensor InputGradient(LinearPath path, Tensor dy, Tensor weight)
    {
        if (path == LinearPath.LibTorch)
        {
            return dy.matmul(weight);
        }
        var view = new TensorView(dy);
        long[] sizes = [.. view.Sizes[..^1], new TensorView(weight).Size(1)];
        var dx = Allocate.Empty(sizes, view.DType, view);
        OwnLinear.InputGradient(dy, weight, dx, add: false);
        return dx;
    }

    /// <summary>dx += dy·weight.</summary>
    public static void AddInputGradient(LinearPath path, Tensor dy, Tensor weight, Tensor dx)
    {
        if (path == LinearPath.LibTorch)
        {
            using var product = dy.matmul(weight);
            dx.add_(product, HeldScalar.One);
            return;
        }
        OwnLinear.InputGradient(dy, weight, dx, add: true);
    }

    /// <summary>dyᵀ·x, in the shape of the weight.</summary>
    public static Tensor WeightGradient(LinearPath path, Tensor dy, Tensor x)
    {
        var view = new TensorView(dy);
        long rows = view.Size(-1), columns = new TensorView(x).Size(-1);
        if (path == LinearPath.LibTorch)
        {
            // Counted, since reshape cannot infer a size beside one of 0.
            long count = view.Sizes[..^1].ToArray().Aggregate(1L, (a, b) => a * b);
            using var left = dy.reshape(count, rows);
            using var transposed = left.t();
            using var right = x.reshape(count, columns);
            return transposed.matmul(right);
        }
        var dw = Allocate.Empty([rows, columns], view.DType, view);
        OwnLinear.WeightGradient(dy, x, dw);
        return dw;
    }

    /// <summary>Σ over rows of dy.</summary>
    public static Tensor BiasGradient(Tensor dy)
    {
        var view = new TensorView(dy);
        var result = Allocate.Empty([view.Size(-1)], view.DType, view);
        if (Dispatcher.UsesOpenCl)
        {
            LinearOpenCl.BiasGradient(dy, result);
            return result;
        }
        using var matrix = new TensorMatrix(dy);
        ElementDispatch.For(view.DType, new ColumnSumCall(matrix.View, result));
        return result;
    }

    private static Tensor OutputOf(Tensor x, Tensor weight)
    {
        var view = new TensorView(x);
        return Allocate.Empty([.. view.Sizes[..^1], new TensorView(weight).Size(0)], view.DType, view);
    }

    private readonly struct ActivationCall(Rows a, Rows b, Rows y) : IActivationCall
    {
        public void Invoke<F, P>() where F : unmanaged, ISimdActivation where P : unmanaged, ISimdActivation => RowMap.For<ActivationAndResidual<F>>(new() { A = a, B = b, Y = y });
    }

    private readonly struct GradientCall(Rows a, Rows b, Rows y) : IActivationCall
    {
        public void Invoke<F, P>() where F : unmanaged, ISimdActivation where P : unmanaged, ISimdActivation =>
            ElementwiseDispatch.Run<ActivationBackward<F>, ActivationBackward<P>>(new() { A = a, B = b, Y = y });
    }

    private readonly struct ColumnSumCall(MatrixView x, Tensor result) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            CpuBackend.Run(new ColumnSum<T>(x, new TensorView(result).Data), ColumnSum<T>.Items(x.Columns), ColumnSum<T>.Grain(x.Rows));
    }
}
