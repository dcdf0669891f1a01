using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Checkpoint;

/// <summary>The function to run again, and the random state it started from.</summary>
internal sealed class CheckpointState(Func<Tensor, Tensor> function)
{
    public Func<Tensor, Tensor> Function { get; } = function;

    /// <summary>State of the generator before forward, as bytes: a tensor would have to be disposed with the graph.</summary>
    public byte[] Random { get; set; } = [];
}

/// <summary>Saves the input only; backward recomputes under a recorded graph and differentiates that.</summary>
internal sealed class CheckpointFunction : OpFunction<CheckpointFunction, CheckpointState>
{
    [ThreadStatic]
    private static bool _inForward;

    public override string Name => "checkpoint";

    /// <summary>Whether a part runs without a graph that will run again with one: training, not inference.</summary>
    public static bool InForward => _inForward;

    protected override ForwardResult Forward(CheckpointState state, Tensor?[] inputs)
    {
        using var random = get_rng_state();
        state.Random = random.data<byte>().ToArray();
        bool outer = _inForward;
        _inForward = true;
        try
        {
            var output = state.Function(inputs[0]!) ?? throw new InvalidOperationException("The function returned null; it must return a tensor.");
            // A parameter itself must not become this node's output: its gradient would come back here for ever.
            return new([output.requires_grad && output.is_leaf ? output.detach() : output], [inputs[0]]);
        }
        finally
        {
            _inForward = outer;
        }
    }

    protected override Tensor?[] Backward(CheckpointState state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        if (grads[0] is null)
        {
            return [null, null];
        }
        var now = get_rng_state();
        set_rng_state(tensor(state.Random));
        var input = saved[0]!.detach().requires_grad_(needed[0]);
        Tensor output;
        try
        {
            using var record = enable_grad();
            output = state.Function(input);
        }
        finally
        {
            set_rng_state(now);
        }
        if (output.requires_grad)
        {
            output.backward([grads[0]!]);
        }
        return [needed[0] ? input.grad : null, null];
    }
}
