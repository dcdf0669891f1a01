using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.SwiGlu;

/// <summary>Inputs: gate and up, or the packed tensor and null. The gradient of the packed tensor is packed.</summary>
internal sealed class SwiGluFunction : OpFunction<SwiGluFunction, object>
{
    private static readonly object NoState = new();

    public override string Name => "swiglu";

    public static Tensor Apply(Tensor gate, Tensor? up) => NeedsGraph(gate, up) ? Run(NoState, gate, up)[0] : Compute(gate, up);

    protected override ForwardResult Forward(object state, Tensor?[] inputs) => new([Compute(inputs[0]!, inputs[1])], [inputs[0], inputs[1]]);

    private static Tensor Compute(Tensor gate, Tensor? up)
    {
        var view = new TensorView(gate);
        using var first = Rows.Of(gate, 1);
        using var second = Rows.Of(up, 1);
        var (a, b) = up is null ? Halves(first) : (first, second);
        long[] sizes = [.. view.Sizes];
        if (up is null)
        {
            sizes[^1] = a.Width;
        }
        var output = Allocate.Empty(sizes, view.DType, view);
        using var y = Rows.Of(output, 1);
        ElementwiseDispatch.Run<SwiGluForward>(new() { A = a, B = b, Y = y });
        return output;
    }

    protected override Tensor?[] Backward(object state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        if (grads[0] is not { } dy)
        {
            return [null, null];
        }
        var view = new TensorView(saved[0]!);
        bool packed = saved[1] is null;
        var dGate = needed[0] ? Allocate.Empty(view.Sizes, view.DType, view) : null;
        var dUp = needed[1] ? Allocate.Empty(view.Sizes, view.DType, view) : null;
        using var gate = Rows.Of(saved[0], 1);
        using var up = Rows.Of(saved[1], 1);
        using var incoming = Rows.Of(dy, 1);
        using var gateGradient = Rows.Of(dGate, 1);
        using var upGradient = Rows.Of(dUp, 1);
        var (a, b) = packed ? Halves(gate) : (gate, up);
        var (y, z) = packed ? Halves(gateGradient) : (gateGradient, upGradient);
        ElementwiseDispatch.Run<SwiGluBackward>(new() { A = a, B = b, C = incoming, Y = y, Z = z });
        return [dGate, dUp];
    }

    private static (Rows First, Rows Second) Halves(in Rows rows)
    {
        long half = rows.Width / 2;
        return (rows.Columns(0, half), rows.Columns(half, half));
    }
}
