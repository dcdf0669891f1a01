using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.LinearCrossEntropy;

/// <summary>Inputs: hidden, weight. Output: the loss.</summary>
/// <remarks>Saved: the two gradients, made in forward while the logits were at hand.</remarks>
internal sealed class LinearCrossEntropyFunction : OpFunction<LinearCrossEntropyFunction, LinearCrossEntropyOptions>
{
    public override string Name => "linear_cross_entropy";

    protected override ForwardResult Forward(LinearCrossEntropyOptions state, Tensor?[] inputs)
    {
        var (hidden, weight) = (inputs[0]!, inputs[1]!);
        var (loss, dHidden, dWeight) = LinearCrossEntropyMath.Run(state, hidden, weight, hidden.requires_grad, weight.requires_grad);
        return new([loss], [dHidden, dWeight]);
    }

    protected override Tensor?[] Backward(LinearCrossEntropyOptions state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        float scale = grads[0]!.item<float>();
        // Held: TorchSharp keeps a number that it converts itself alive for less than the call, and the collector may run meanwhile.
        using Scalar factor = scale;
        // A graph that is kept hands the same tensors out again: they must not change, and must not become somebody's .grad.
        bool keep = AutogradEngine.KeepsGraph;
        return Array.ConvertAll(saved, gradient => gradient is null ? null : keep ? gradient * factor : scale == 1 ? gradient.alias() : gradient.mul_(factor).alias());
    }
}
