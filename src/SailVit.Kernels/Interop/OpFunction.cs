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
/// TorchSharp keeps saved tensors as long as the graph: they are released after backward, as builtin nodes do;
/// TorchSharp unpins its list of non-differentiable outputs before libtorch reads it: such outputs never go through it;
/// libtorch would clone a leaf's gradient whose wrapper still exists: a view hands it over without a copy;
/// backward runs on the backend of forward, wherever it is called (<see cref="ForcedBackend"/>): saved statistics are that backend's;
/// raw kernels are not differentiable, so double backward would be silently wrong: it raises;
/// wrappers of saved tensors and returned gradients are disposed on whichever thread the engine runs.
/// </remarks>
/// <typeparam name="TSelf">The function itself.</typeparam>
/// <typeparam name="TState">Options and shapes that backward needs; no tensors.</typeparam>
internal abstract class OpFunction<TSelf, TState> : autograd.MultiTensorFunction<TSelf>
    where TSelf : OpFunction<TSelf, TState>, new()
    where TState : class
{
    private const string CallKey = "call";

    // Elements of a gradient from which on a view is cheaper than a copy.
    private const long LeastViewed = 16384;

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
    /// <param name="grads">One per output; null where undefined, not all of them. May be expanded (stride 0) or transposed,
    /// and must not be written to. May be returned as gradients.</param>
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
        var call = new Call(state, inputs);
        using var scope = NewDisposeScope();
        var arguments = new object?[inputs.Length + 1];
        arguments[0] = call;
        Array.ConvertAll(inputs, ThroughView).CopyTo(arguments, 1);
        var differentiable = apply(arguments!);
        var outputs = call.AllOutputs(differentiable);
        scope.MoveToOuter(outputs);
        return outputs;
    }

    // libtorch adopts a leaf's first gradient only if nobody else holds that tensor; ours is still held by its wrapper, and
    // would be cloned: one more copy of all gradients. A view between leaf and op hands it a tensor of its own, on the
    // same storage. The view's node takes longer than the copy of a small gradient (norm weights, biases).
    private static Tensor? ThroughView(Tensor? input) =>
        input is { requires_grad: true, is_leaf: true } && new TensorView(input) is { IsContiguous: true } view && view.Length >= LeastViewed
            ? input.view(view.Sizes.ToArray())
            : input;

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
            return call.TakeDifferentiable(result);
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
        foreach (var grad in grad_outputs)
        {
            if (!IsAmong(grad, gradients))
            {
                grad.Dispose();
            }
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
        if (call.Released)
        {
            throw new InvalidOperationException(
                $"Backward ran a second time through {Op.Name}, whose saved tensors the first pass released. Pass retain_graph: true to the first one.");
        }
        var grads = call.AllGradients(gradOutputs);
        if (Array.TrueForAll(grads, g => g is null))
        {
            return new Tensor?[call.Inputs.Length];
        }
        using var backend = ForcedBackend.Use(call.Backend);
        // Gradients lie in the host's memory: the engine adds and hands them over there.
        using var unheard = Allocate.Unheard();
        using var scope = NewDisposeScope();
        var needed = Array.ConvertAll(call.Inputs, i => i.Needed);
        var gradients = Op.Backward(call.State, [.. ctx.get_saved_variables()], grads, needed);
        call.CheckGradients(Op.Name, gradients);
        call.SeparateAdopted(gradients, grads);
        if (!AutogradEngine.KeepsGraph)
        {
            call.Released = true;
            ctx.Dispose();
        }
        return gradients;
    }

    /// <summary>One run of the op, from forward to the end of its node.</summary>
    private sealed class Call(TState state, Tensor?[] inputs)
    {
        private Tensor[] _outputs = [];
        private bool[] _differentiable = [];

        public TState State { get; } = state;

        /// <summary>What the caller of forward was told to use.</summary>
        public int? Backend { get; } = ForcedBackend.OfThread;

        public InputInfo[] Inputs { get; } = Array.ConvertAll(inputs, InputInfo.Of);

        public ExceptionDispatchInfo? ForwardFailure { get; set; }

        /// <summary>Whether saved tensors were released by a pass that did not retain the graph.</summary>
        public bool Released { get; set; }

        /// <summary>Notes all outputs and hands out the differentiable ones, which libtorch wraps.</summary>
        public List<Tensor> TakeDifferentiable(in ForwardResult result)
        {
            var without = result.NonDifferentiable ?? [];
            _outputs = result.Outputs;
            _differentiable = Array.ConvertAll(_outputs, o => !IsAmong(o, without));
            return [.. _outputs.Where((_, i) => _differentiable[i])];
        }

        /// <summary>All outputs in order, the differentiable ones as libtorch wrapped them.</summary>
        public Tensor[] AllOutputs(List<Tensor> wrapped)
        {
            ForwardFailure?.Throw();
            var outputs = _outputs;
            _outputs = [];
            for (int i = 0, next = 0; i < outputs.Length; i++)
            {
                outputs[i] = _differentiable[i] ? wrapped[next++] : outputs[i];
            }
            return outputs;
        }

        /// <summary>One gradient per output; null where undefined.</summary>
        public Tensor?[] AllGradients(List<Tensor> gradOutputs)
        {
            int next = 0;
            return Array.ConvertAll(_differentiable, d => d && gradOutputs[next++] is { IsInvalid: false } grad ? grad : null);
        }

        /// <summary>Drops unneeded gradients and checks the others: libtorch would throw where nobody catches.</summary>
        public void CheckGradients(string op, Tensor?[] gradients)
        {
            if (gradients.Length != Inputs.Length)
            {
                throw new InvalidOperationException($"{op} returned {gradients.Length} gradients for {Inputs.Length} inputs.");
            }
            for (int i = 0; i < gradients.Length; i++)
            {
                if (!Inputs[i].Needed)
                {
                    gradients[i] = null;
                }
                else if (gradients[i] is { } gradient && !Inputs[i].Fits(gradient))
                {
                    throw new InvalidOperationException(
                        $"{op} returned a gradient {new TensorView(gradient)} for input {i}, which is [{string.Join(", ", Inputs[i].Sizes)}] {Inputs[i].DType}.");
                }
                gradients[i]?.DetachFromDisposeScope();
            }
        }

        /// <summary>A leaf keeps what it gets: a gradient that is also the incoming one, or another input's, is copied for it.</summary>
        public void SeparateAdopted(Tensor?[] gradients, Tensor?[] incoming)
        {
            for (int i = 0; i < gradients.Length; i++)
            {
                if (Inputs[i].IsLeaf && gradients[i] is { } gradient && (SharesMemory(gradient, incoming) || SharesMemory(gradient, gradients[..i])))
                {
                    gradients[i] = gradient.clone().DetachFromDisposeScope();
                }
            }
        }
    }

    private static unsafe bool SharesMemory(Tensor tensor, Tensor?[] tensors)
    {
        var data = new TensorView(tensor).Data;
        return Array.Exists(tensors, t => t is not null && new TensorView(t).Data == data);
    }

    // By reference: Tensor.Equals compares elements.
    private static bool IsAmong(Tensor tensor, Tensor?[] tensors) => Array.Exists(tensors, t => ReferenceEquals(t, tensor));
}

/// <summary>What must be known of an input after forward: whether it wants a gradient, and of what shape.</summary>
internal readonly record struct InputInfo(bool Needed, bool IsLeaf, long[] Sizes, ScalarType DType)
{
    public static InputInfo Of(Tensor? input) =>
        input is not null && input.requires_grad ? new(true, input.is_leaf, new TensorView(input).Sizes.ToArray(), input.dtype) : default;

    public bool Fits(Tensor gradient) => gradient.dtype == DType && new TensorView(gradient).Sizes.SequenceEqual(Sizes);
}

/// <summary>Gradients handed to libtorch. Their wrappers must outlive the hand-over, and nobody else disposes them.</summary>
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
            held.ForEach(g => g.Dispose());
            held.Clear();
        }
    }
}
