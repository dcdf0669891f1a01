using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.LayerScale;

/// <summary>Inputs: residual, branch, γ or null, keep / (1 − p) per sample or null.</summary>
internal sealed unsafe class LayerScaleFunction : OpFunction<LayerScaleFunction, object>
{
    private const int Residual = 0, Branch = 1, Gamma = 2, Keep = 3;

    private static readonly object NoState = new();

    public override string Name => "layer_scale_add";

    public static Tensor Apply(Tensor residual, Tensor branch, Tensor? gamma, Tensor? keep) =>
        NeedsGraph(residual, branch, gamma) ? Run(NoState, residual, branch, gamma, keep)[0] : Compute(residual, branch, gamma, keep);

    protected override ForwardResult Forward(object state, Tensor?[] inputs) =>
        new([Compute(inputs[Residual]!, inputs[Branch]!, inputs[Gamma], inputs[Keep])], [BranchForGamma(inputs), inputs[Gamma], inputs[Keep]]);

    // Only dγ reads the branch: otherwise an activation would be kept for nothing.
    private static Tensor? BranchForGamma(Tensor?[] inputs) => inputs[Gamma] is { requires_grad: true } ? inputs[Branch] : null;

    private static Tensor Compute(Tensor residual, Tensor branch, Tensor? gamma, Tensor? keep)
    {
        var view = new TensorView(residual);
        using var r = Rows.Of(residual, 1);
        using var b = Rows.Of(branch, 1);
        using var scale = new FloatRow(gamma, r.Width);
        var output = Allocate.Empty(view.Sizes, view.DType, view);
        var args = Arguments(r, scale, keep, view) with
        {
            Residual = r.Data,
            ResidualStride = r.Stride,
            Branch = b.Data,
            BranchStride = b.Stride,
            Y = new TensorView(output).Data,
        };
        Launch(args, view.DType);
        return output;
    }

    protected override Tensor?[] Backward(object state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        if (grads[0] is not { } dy)
        {
            return [null, null, null, null];
        }
        var (branch, gamma) = (saved[0], saved[1]);
        var view = new TensorView(dy);
        using var b = Rows.Of(branch, 1);
        using var incoming = Rows.Of(dy, 1);
        using var scale = new FloatRow(gamma, incoming.Width);
        var chunks = RowChunks.Of(incoming.Count);
        using var partials = Workspace.Rent(needed[Gamma] ? chunks.Count * incoming.Width * sizeof(float) : 0);
        var dBranch = needed[Branch] ? Allocate.Empty(view.Sizes, view.DType, view) : null;
        if (dBranch is not null || needed[Gamma])
        {
            var args = Arguments(incoming, scale, saved[2], view) with
            {
                Branch = b.Data,
                BranchStride = b.Stride,
                Dy = incoming.Data,
                DyStride = incoming.Stride,
                Y = dBranch is null ? null : new TensorView(dBranch).Data,
                Partials = needed[Gamma] ? partials.Floats : null,
                RowsPerChunk = chunks.RowsPerChunk,
            };
            LaunchBackward(args, chunks.Count, view.DType);
        }
        var dGamma = needed[Gamma] ? PartialSums.ToTensor(partials.Floats, chunks.Count, incoming.Width, gamma!) : null;
        // The residual's gradient is the incoming one.
        return [needed[Residual] ? dy.alias() : null, dBranch, dGamma, null];
    }

    private static LayerScaleArgs Arguments(in Rows rows, in FloatRow gamma, Tensor? keep, in TensorView view) => new()
    {
        Gamma = gamma.Data,
        Keep = keep is null ? null : (float*)new TensorView(keep).Data,
        RowsPerSample = Math.Max(1, rows.Count / Math.Max(1, view.Rank > 1 ? view.Size(0) : 1)),
        Rows = rows.Count,
        Width = rows.Width,
    };

    private static void Launch(in LayerScaleArgs args, DType dtype)
    {
        if (Dispatcher.UsesOpenCl)
        {
            LayerScaleOpenCl.Forward(args, dtype);
            return;
        }
        ElementDispatch.For(dtype, new ForwardCall(args));
    }

    private static void LaunchBackward(in LayerScaleArgs args, long chunks, DType dtype)
    {
        if (Dispatcher.UsesOpenCl)
        {
            LayerScaleOpenCl.Backward(args, chunks, dtype);
            return;
        }
        ElementDispatch.For(dtype, new BackwardCall(args, chunks));
    }

    private readonly struct ForwardCall(LayerScaleArgs args) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            CpuBackend.Run(new LayerScaleForward<T>(args), args.Rows, RowGrain.Of(args.Width));
    }

    private readonly struct BackwardCall(LayerScaleArgs args, long chunks) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            CpuBackend.Run(new LayerScaleBackward<T>(args), chunks, RowGrain.Of(args.Width * args.RowsPerChunk));
    }
}
