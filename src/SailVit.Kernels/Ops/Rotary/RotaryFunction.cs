using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Rotary;

/// <summary>Inputs: x, cos, sin, positions. Backward turns the incoming gradient back; x is not kept.</summary>
internal sealed unsafe class RotaryFunction : OpFunction<RotaryFunction, object>
{
    private static readonly object NoState = new();

    public override string Name => "rotary_embedding";

    public static Tensor Apply(Tensor x, Tensor cos, Tensor sin, Tensor positions) =>
        NeedsGraph(x) ? Run(NoState, x, cos, sin, positions)[0] : Turn(x, cos, sin, positions, 1);

    protected override ForwardResult Forward(object state, Tensor?[] inputs) =>
        new([Turn(inputs[0]!, inputs[1]!, inputs[2]!, inputs[3]!, 1)], inputs[1..]);

    protected override Tensor?[] Backward(object state, Tensor?[] saved, Tensor?[] grads, bool[] needed) =>
        [grads[0] is { } dy && needed[0] ? Turn(dy, saved[0]!, saved[1]!, saved[2]!, -1) : null, null, null, null];

    private static Tensor Turn(Tensor x, Tensor cos, Tensor sin, Tensor positions, float direction)
    {
        var view = new TensorView(x);
        using var copy = view.Size(2) > 1 && view.Stride(2) != 1 ? x.contiguous() : null;
        var rows = copy is null ? view : new TensorView(copy);
        using var cosRows = Rows.Of(cos, 1);
        using var sinRows = Rows.Of(sin, 1);
        var places = new TensorView(positions);
        var output = Allocate.Empty(view.Sizes, view.DType, view);
        var args = new RotaryArgs
        {
            X = rows.Data,
            TokenStride = rows.Stride(0),
            HeadStride = rows.Stride(1),
            Cos = (float*)cosRows.Data,
            Sin = (float*)sinRows.Data,
            CosStride = cosRows.Stride,
            SinStride = sinRows.Stride,
            Positions = (long*)places.Data,
            PositionStride = places.Stride(0),
            Direction = direction,
            Y = new TensorView(output).Data,
            Heads = view.Size(1),
            Half = view.Size(2) / 2,
        };
        if (Dispatcher.UsesOpenCl)
        {
            RotaryOpenCl.Run(args, view.Size(0), cosRows.Count, view.DType);
        }
        else
        {
            ElementDispatch.For(view.DType, new Call(args, view.Size(0) * view.Size(1)));
        }
        return output;
    }

    private readonly struct Call(RotaryArgs args, long rows) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement => CpuBackend.Run(new RotaryKernel<T>(args), rows, RowGrain.Of(2 * args.Half));
    }
}
