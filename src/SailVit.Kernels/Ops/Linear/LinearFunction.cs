using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>What one call of a linear op is asked for.</summary>
/// <param name="Path">Who makes the products, forward and backward.</param>
/// <param name="Activation">Applied to the sums.</param>
/// <param name="Packed">The weight in the product's layout, if the caller brought it.</param>
internal sealed record LinearOptions(LinearPath Path, Activation Activation, PackedWeight? Packed);

/// <summary>Inputs: x, weight, bias, residual. Output: F(x·wᵀ + b) + residual.</summary>
/// <remarks>Saved: x, the weight, and x·wᵀ + b where there is an activation.</remarks>
internal sealed class LinearFunction : OpFunction<LinearFunction, LinearOptions>
{
    private const int Input = 0, Weight = 1, Bias = 2, Residual = 3;

    public override string Name => "linear";

    protected override ForwardResult Forward(LinearOptions state, Tensor?[] inputs)
    {
        var (output, before) = LinearMath.Forward(state, inputs[Input]!, inputs[Weight]!, inputs[Bias], inputs[Residual], keep: true);
        return new([output], [inputs[Input], inputs[Weight], before]);
    }

    protected override Tensor?[] Backward(LinearOptions state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        var (x, weight, before) = (saved[0]!, saved[1]!, saved[2]);
        var dy = grads[0]!;
        var dSum = before is null ? dy : LinearMath.ActivationGradient(state.Activation, before, dy);
        return
        [
            needed[Input] ? LinearMath.InputGradient(state.Path, dSum, weight) : null,
            needed[Weight] ? LinearMath.WeightGradient(state.Path, dSum, x) : null,
            needed[Bias] ? LinearMath.BiasGradient(dSum) : null,
            needed[Residual] ? dy : null,
        ];
    }
}

/// <summary>Inputs: x, gate weight, up weight, gate bias, up bias. Output: silu(x·gᵀ + bg)·(x·uᵀ + bu).</summary>
/// <remarks>Saved: x, both weights, and both factors before the activation.</remarks>
internal sealed class LinearSwiGluFunction : OpFunction<LinearSwiGluFunction, LinearOptions>
{
    private const int Input = 0, GateWeight = 1, UpWeight = 2, GateBias = 3, UpBias = 4;

    public override string Name => "linear_swiglu";

    protected override ForwardResult Forward(LinearOptions state, Tensor?[] inputs)
    {
        var (output, gate, up) = LinearMath.SwiGlu(
            state, inputs[Input]!, inputs[GateWeight]!, inputs[UpWeight]!, inputs[GateBias], inputs[UpBias], keep: true);
        return new([output], [inputs[Input], inputs[GateWeight], inputs[UpWeight], gate, up]);
    }

    protected override Tensor?[] Backward(LinearOptions state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        var (x, gateWeight, upWeight) = (saved[0]!, saved[1]!, saved[2]!);
        var (dGate, dUp) = LinearMath.SwiGluGradient(saved[3]!, saved[4]!, grads[0]!);
        Tensor? dx = null;
        if (needed[Input])
        {
            dx = LinearMath.InputGradient(state.Path, dGate, gateWeight);
            LinearMath.AddInputGradient(state.Path, dUp, upWeight, dx);
        }
        return
        [
            dx,
            needed[GateWeight] ? LinearMath.WeightGradient(state.Path, dGate, x) : null,
            needed[UpWeight] ? LinearMath.WeightGradient(state.Path, dUp, x) : null,
            needed[GateBias] ? LinearMath.BiasGradient(dGate) : null,
            needed[UpBias] ? LinearMath.BiasGradient(dUp) : null,
        ];
    }
}
