using SailVit.Kernels.Ops.Checkpoint;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Runs a part of a model without keeping its activations, and runs it again in the backward pass.</summary>
    /// <param name="function">Tensor to tensor, the same result for the same input; random numbers repeat by themselves.
    /// Its parameters get their gradients in <c>.grad</c>, as from <c>backward()</c>; <c>autograd.grad</c> with respect to
    /// them is not supported through a checkpoint.</param>
    /// <param name="input">Any shape.</param>
    /// <returns>What <paramref name="function"/> returns.</returns>
    /// <remarks>Memory of one activation per part instead of all; one more forward pass in time.
    /// Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".</remarks>
    public static Tensor checkpoint(Func<Tensor, Tensor> function, Tensor input)
    {
        ArgumentNullException.ThrowIfNull(function);
        ArgumentNullException.ThrowIfNull(input);
        if (!is_grad_enabled())
        {
            return function(input);
        }
        // Parameters alone may want gradients: without an input that does, libtorch would record no node.
        using var anchor = input.requires_grad ? null : zeros(1, requires_grad: true);
        return CheckpointFunction.Run(new(function), input, anchor)[0];
    }
}
