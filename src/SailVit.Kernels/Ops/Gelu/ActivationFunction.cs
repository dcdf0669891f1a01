using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Gelu;

/// <summary>An activation with autograd. Saved: the input; f′ is computed from it. P: the same activation for devices.</summary>
internal sealed class ActivationFunction<F, P> : OpFunction<ActivationFunction<F, P>, object>
    where F : unmanaged, ISimdActivation
    where P : unmanaged, ISimdActivation
{
    private static readonly object NoState = new();

    public override string Name => typeof(F).Name;

    public static Tensor Apply(Tensor x, bool inplace)
    {
        Check.Float(x);
        if (!NeedsGraph(x))
        {
            return inplace ? InPlace(x) : Compute(x);
        }
        if (!inplace)
        {
            return Run(NoState, x)[0];
        }
        // Backward needs the input that in-place overwrites: a copy is kept, as libtorch does.
        using var copy = x.clone();
        using var y = Run(NoState, copy)[0];
        return x.copy_(y).alias();
    }

    protected override ForwardResult Forward(object state, Tensor?[] inputs) => new([Compute(inputs[0]!)], [inputs[0]]);

    protected override Tensor?[] Backward(object state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        if (grads[0] is not { } dy)
        {
            return [null];
        }
        var dx = Allocate.Empty(new TensorView(saved[0]!).Sizes, new TensorView(saved[0]!).DType);
        using var x = Rows.Of(saved[0], 1);
        using var g = Rows.Of(dy, 1);
        using var result = Rows.Of(dx, 1);
        ElementwiseDispatch.Run<ActivationBackward<F>, ActivationBackward<P>>(new() { A = x, B = g, Y = result });
        return [dx];
    }

    private static Tensor Compute(Tensor x)
    {
        var view = new TensorView(x);
        var y = Allocate.Empty(view.Sizes, view.DType, view);
        using var source = Rows.Of(x, 1);
        using var result = Rows.Of(y, 1);
        ElementwiseDispatch.Run<ActivationForward<F>, ActivationForward<P>>(new() { A = source, Y = result });
        return y;
    }

    private static Tensor InPlace(Tensor x)
    {
        using var rows = Rows.Of(x, 1);
        if (rows.IsCopy || rows.Stride == 0 || x.dim() == 0)
        {
            using var y = Compute(x);
            return x.copy_(y).alias();
        }
        ElementwiseDispatch.Run<ActivationForward<F>, ActivationForward<P>>(new() { A = rows, Y = rows });
        TensorVersion.Increment(x);
        return x.alias();
    }
}
