using System.Runtime.ExceptionServices;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>The one base of all custom autograd functions: an op says how to go forward and backward, this class keeps
/// TorchSharp's hazards away.</summary>
/// <remarks>
/// What is guarded, and why:
/// an exception in backward would unwind through libtorch and end the process: it is caught, a gradient that the engine
/// refuses is returned, and <see cref="BackwardException"/> carries the cause;
/// an exception in forward would leak the node: it is kept until the node is released;
/// TorchSharp keeps an empty copy of every output with the node: it is released before this returns;
/// raw kernels are not differentiable, so double backward would be silently wrong: it raises;
/// a leaf's gradient would be cloned on arrival: it is handed over without a copy;
/// wrappers of saved tensors and returned gradients are disposed on whichever thread the engine runs.
/// </remarks>
/// <typeparam name="TSelf">The function itself.</typeparam>
/// <typeparam name="TState">Options and shapes that backward needs; no tensors.</typeparam>
internal abstract class OpFunction<TSelf, TState> : autograd.MultiTensorFunction<TSelf>
    where TSelf : OpFunction<TSelf, TState>, new()
    where TState : class
{
    private const string CallKey = "call";

    private static readonly TSelf Op = new();

    /// <summary>What forward hands to <see cref="Run"/>.</summary>
    /// <param name="Outputs">New tensors, one or more.</param>
    /// <param name="Saved">Inputs or outputs that backward needs; version-checked by libtorch. Entries may be null.</param>
    /// <param name="NonDifferentiable">Outputs without a gradient, such as statistics; may be null.</param>
    protected readonly record struct ForwardResult(Tensor[] Outputs, Tensor?[] Saved, Tensor[]? NonDifferentiable = null);

    /// <summary>Computes outputs. Grad mode is off. Arguments have been checked.</summary>
    protected abstract ForwardResult Forward(TState state, Tensor?[] inputs);

    /// <summary>Computes gradients, one entry per input, null where none is wanted.</summary>
    /// <param name="state">What the caller passed to <see cref="Run"/>.</param>
    /// <param name="saved">As returned by <see cref="Forward"/>.</param>
    /// <param name="grads">One per output; null where undefined. May be expanded (stride 0) or transposed.</param>
    /// <param name="needed">Which inputs want a gradient.</param>
    protected abstract Tensor?[] Backward(TState state, Tensor?[] saved, Tensor?[] grads, bool[] needed);

    /// <summary>Whether the graph must be recorded: grad mode is on and an input wants a gradient.</summary>
    public static bool NeedsGraph(params ReadOnlySpan<Tensor?> inputs)
    {
        foreach (var input in inputs)
        {
            if (input is not null && input.requires_grad)
            {
                return torch.is_grad_enabled();
            }
        }
        return false;
    }

    /// <summary>Runs the op and records it in the graph. Without a graph to record, only forward runs.</summary>
    public static Tensor[] Run(TState state, params Tensor?[] inputs)
    {
        InFlightGradients.Release();
        if (!NeedsGraph(inputs))
        {
            return RunInference(state, inputs);
        }
        var call = new Call(state, Array.ConvertAll(inputs, InputInfo.Of));
        using var scope = NewDisposeScope();
        var arguments = new object?[inputs.Length + 1];
        arguments[0] = call;
        Array.ConvertAll(inputs, ThroughView).CopyTo(arguments, 1);
        var outputs = apply(arguments!).ToArray();
        call.ForwardFailure?.Throw();
        scope.MoveToOuter(outputs);
        return outputs;
    }

    // libtorch adopts a leaf's first gradient only if nobody else holds that tensor; ours is still held by its wrapper, and
    // would be cloned: one more copy of all gradients. A view between leaf and op hands it a tensor of its own, on the
    // same storage.
    private static Tensor? ThroughView(Tensor? input) =>
        input is { requires_grad: true, is_leaf: true } && new TensorView(input).IsContiguous ? input.view(new TensorView(input).Sizes.ToArray()) : input;

    private static Tensor[] RunInference(TState state, Tensor?[] inputs)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var outputs = Op.Forward(state, inputs).Outputs;
        scope.MoveToOuter(outputs);
        return outputs;
    }

    /// <inheritdoc/>
    public sealed override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var call = (Call)vars[0];
        ctx.set_materialize_grads(false);
        ctx.save_data(CallKey, call);
        try
        {
            var result = Op.Forward(call.State, Array.ConvertAll(vars[1..], v => (Tensor?)v));
            ctx.save_for_backward([.. result.Saved!]);
            ctx.mark_non_differentiable([.. result.NonDifferentiable ?? []]);
            return [.. result.Outputs];
        }
        catch (Exception e)
        {
            call.ForwardFailure = ExceptionDispatchInfo.Capture(e);
            return [empty(0)];
        }
    }

    /// <inheritdoc/>
    public sealed override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        InFlightGradients.Release();
        var call = (Call)ctx.get_data(CallKey);
        Tensor?[] gradients;
        try
        {
            gradients = RunBackward(ctx, call, grad_outputs);
        }
        catch (Exception e)
        {
            BackwardException.Keep(Name, e);
            gradients = Array.ConvertAll(call.Inputs, i => i.Needed ? BackwardException.RefusedGradient(i.Sizes, i.DType) : null);
        }
        InFlightGradients.Hold(gradients);
        return [null!, .. gradients.Select(g => g!)];
    }

    private static Tensor?[] RunBackward(autograd.AutogradContext ctx, Call call, List<Tensor> gradOutputs)
    {
        if (torch.is_grad_enabled())
        {
            throw new NotSupportedException(
                $"{Op.Name} has no second derivative: its backward is a fused kernel. Call backward without create_graph, or use torch.nn.functional for this op.");
        }
        var grads = gradOutputs.ConvertAll(g => g is null || g.IsInvalid ? null : g).ToArray();
        var saved = ctx.get_saved_variables();
        try
        {
            using var scope = NewDisposeScope();
            var needed = Array.ConvertAll(call.Inputs, i => i.Needed);
            var gradients = Op.Backward(call.State, [.. saved], grads, needed);
            for (int i = 0; i < gradients.Length; i++)
            {
                if (!needed[i])
                {
                    gradients[i] = null;
                }
                gradients[i]?.DetachFromDisposeScope();
            }
            return gradients;
        }
        finally
        {
            saved.ForEach(t => t?.Dispose());
            gradOutputs.ForEach(t => t?.Dispose());
        }
    }

    private sealed class Call(TState state, InputInfo[] inputs)
    {
        public TState State { get; } = state;

        public InputInfo[] Inputs { get; } = inputs;

        public ExceptionDispatchInfo? ForwardFailure { get; set; }
    }
}

/// <summary>What must be known of an input after forward: whether it wants a gradient, and of what shape.</summary>
internal readonly record struct InputInfo(bool Needed, long[] Sizes, ScalarType DType)
{
    public static InputInfo Of(Tensor? input) =>
        input is not null && input.requires_grad ? new(true, new TensorView(input).Sizes.ToArray(), input.dtype) : default;
}

/// <summary>Gradients handed to libtorch: their wrappers must outlive the hand-over, and nobody else disposes them.</summary>
internal static class InFlightGradients
{
    [ThreadStatic]
    private static List<Tensor>? _held;

    public static void Hold(Tensor?[] gradients) => (_held ??= []).AddRange(gradients.OfType<Tensor>());

    /// <summary>Disposes what the previous node on this thread returned; libtorch has its own references by now.</summary>
    public static void Release()
    {
        if (_held is { Count: > 0 } held)
        {
            held.ForEach(t => t.Dispose());
            held.Clear();
        }
    }
}
