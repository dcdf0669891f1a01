using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>What the backward pass of a norm reads and which gradients it must give.</summary>
internal sealed record NormGradient(NormOptions Options, Tensor X, Tensor Statistics, Tensor? Weight, Tensor? Bias, Tensor Dy, Tensor? DSum)
{
    /// <summary>Whether X is the stored sum of input and residual.</summary>
    public bool OfSum { get; init; }

    public bool InputWanted { get; init; }

    public bool WeightWanted { get; init; }

    public bool BiasWanted { get; init; }

    public bool ResidualWanted { get; init; }
}

/// <summary>Inputs: x, weight, bias, residual. Outputs: y, and x + residual where a residual is given.</summary>
/// <remarks>Saved: x (or the rounded sum) and one or three floats per row; x̂ is computed again.</remarks>
internal sealed class NormFunction<N> : OpFunction<NormFunction<N>, NormOptions> where N : unmanaged, INormKind
{
    private const int Input = 0, Weight = 1, Bias = 2, Residual = 3;

    public override string Name => N.Name;

    protected override ForwardResult Forward(NormOptions state, Tensor?[] inputs)
    {
        var (output, sum, statistics) = NormOp<N>.Forward(state, inputs[Input]!, inputs[Residual], inputs[Weight], inputs[Bias], training: true);
        return sum is null
            ? new([output], [inputs[Input], statistics, inputs[Weight], inputs[Bias]])
            : new([output, sum], [sum, statistics, inputs[Weight], inputs[Bias]]);
    }

    protected override Tensor?[] Backward(NormOptions state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        var (x, statistics, weight, bias) = (saved[0]!, saved[1]!, saved[2], saved[3]);
        var dSum = grads.Length > 1 ? grads[1] : null;
        if (grads[0] is not { } dy)
        {
            // Only the residual output was used: its gradient goes through unchanged.
            return [needed[Input] ? dSum?.to(state.InputType) : null, null, null, needed[Residual] ? dSum?.alias() : null];
        }
        return NormOp<N>.Backward(new(state, x, statistics, weight, bias, dy, dSum)
        {
            OfSum = grads.Length > 1,
            InputWanted = needed[Input],
            WeightWanted = needed[Weight],
            BiasWanted = needed[Bias],
            ResidualWanted = needed[Residual],
        });
    }
}
