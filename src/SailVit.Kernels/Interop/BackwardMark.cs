using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>A place in a model that tells when the backward pass comes by.</summary>
/// <remarks>TorchSharp has no hooks on tensors. libtorch's engine runs what was made later in forward first, and adds a leaf's
/// gradient as soon as it is there: when the pass comes to a place, parameters that were used only after it have their
/// whole gradients.</remarks>
public static class BackwardMark
{
    /// <summary>Hands <paramref name="x"/> on, marked.</summary>
    /// <param name="x">Any tensor; without a gradient to come by, nothing is marked.</param>
    /// <param name="passed">Called in the backward pass, on the engine's thread; null where nobody listens.</param>
    /// <param name="place">Handed to it.</param>
    /// <returns>The same values in the same memory; <paramref name="x"/> itself where nothing is marked.</returns>
    public static Tensor Place(Tensor x, Action<int>? passed, int place)
    {
        ArgumentNullException.ThrowIfNull(x);
        return passed is not null && x.requires_grad && is_grad_enabled() ? MarkFunction.Run(new(passed, place), x)[0] : x;
    }

    private sealed record Mark(Action<int> Passed, int Place);

    private sealed class MarkFunction : OpFunction<MarkFunction, Mark>
    {
        public override string Name => "backward_mark";

        protected override ForwardResult Forward(Mark state, Tensor?[] inputs) => new([inputs[0]!.detach()], []);

        protected override Tensor?[] Backward(Mark state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
        {
            state.Passed(state.Place);
            return [grads[0]];
        }
    }
}
