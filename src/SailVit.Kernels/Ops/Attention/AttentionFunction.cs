using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Attention in the graph. Keeps its inputs, the output and two floats per query row: the largest score and the
/// sum of powers. Those two, rather than the log-sum-exp, let backward find exactly forward's probabilities: one
/// float holds a log-sum-exp of 60 to 4e-6 only.</summary>
internal sealed class AttentionFunction : OpFunction<AttentionFunction, AttentionCall>
{
    public override string Name => "attention";

    protected override ForwardResult Forward(AttentionCall state, Tensor?[] inputs)
    {
        var (output, lse, statistics) = AttentionOp.Forward(state, inputs);
        return new(lse is null ? [output] : [output, lse], [.. inputs, output, statistics]);
    }

    protected override Tensor?[] Backward(AttentionCall state, Tensor?[] saved, Tensor?[] grads, bool[] needed) =>
        AttentionOp.Backward(state, saved[..^2], saved[^2]!, saved[^1]!, grads[0], state.WithLse ? grads[1] : null, needed);

    /// <summary>Checks, then runs the op.</summary>
    /// <param name="call">Layout and options.</param>
    /// <param name="names">The arguments' names, for messages.</param>
    /// <param name="inputs">Queries, keys and values in the call's layout, then the mask or null.</param>
    public static Tensor[] Run(AttentionCall call, string[] names, params Tensor?[] inputs)
    {
        call.Check(inputs, names);
        call.Training = NeedsGraph(inputs);
        return Run(call, inputs);
    }
}
