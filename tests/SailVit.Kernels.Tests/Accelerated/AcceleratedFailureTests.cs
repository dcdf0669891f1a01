using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Accelerated;

/// <summary>A backward pass in which libtorch's own kernel fails: never gradients of zeros.</summary>
[Collection(nameof(Interop.WholeProcess))]
public sealed unsafe class AcceleratedFailureTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    public static TheoryData<string> Operators => ["mm", "bmm", "gelu_backward", "silu_backward.grad_input", "native_layer_norm_backward"];

    [Theory]
    [MemberData(nameof(Operators))]
    public void FailedGradient_IsAnExceptionOrNaN(string name)
    {
        using var accelerator = Accelerator.Install();
        // Float64 is libtorch's kernel, and here that one fails.
        var leaf = randn(2, 3, 4, dtype: float64).requires_grad_();
        Tensor Loss() => name switch
        {
            "mm" => linear(leaf, ones(5, 4, dtype: float64)).sum(),
            "bmm" => leaf.bmm(ones(2, 4, 5, dtype: float64)).sum(),
            "gelu_backward" => gelu(leaf).sum(),
            "silu_backward.grad_input" => silu(leaf).sum(),
            _ => layer_norm(leaf, [4]).sum(),
        };
        var (first, second) = (Loss(), Loss());
        using (Failing(name))
        {
            var failure = Assert.Throws<BackwardException>(() => BackwardException.Run(first));
            Assert.Contains(name.Split('.')[0], failure.Message, StringComparison.Ordinal);
            Assert.Null(leaf.grad);
            Assert.Throws<BackwardException>(() => BackwardException.Run(() => Assert.True(autograd.grad([second], [leaf])[0].isnan().all().item<bool>())));
        }
        Loss().backward();
        Assert.False(leaf.grad!.isnan().any().item<bool>());
    }

    // A kernel in libtorch's place that computes nothing.
    private static OperatorLibrary Failing(string name)
    {
        var library = new OperatorLibrary("CPU\0"u8);
        library.Add(System.Text.Encoding.UTF8.GetBytes(name + "\0"), name == "native_layer_norm_backward" ? &FailThrice : &FailOnce);
        return library;
    }

    // The arguments of one call are lost.
    [System.Runtime.InteropServices.UnmanagedCallersOnly]
    private static void FailOnce(ulong* stack, ulong arguments, ulong results) => new OperatorCall(stack, default).SetUndefined(1);

    [System.Runtime.InteropServices.UnmanagedCallersOnly]
    private static void FailThrice(ulong* stack, ulong arguments, ulong results) => new OperatorCall(stack, default).SetUndefined(3);
}
