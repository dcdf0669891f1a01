using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

/// <summary>Kernels read memory, not tensors: what they read must live, also a tensor that the caller made for the call and
/// holds no longer. Its finalizer would free the memory under the kernel.</summary>
[Collection(nameof(WholeProcess))]
public sealed class LifetimeTests
{
    // Apart, so that the caller's frame holds no reference.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static (Tensor, WeakReference) Make()
    {
        var made = ones(4, 8);
        return (made, new(made));
    }

    private static bool AliveAfterCollection(WeakReference reference)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return reference.IsAlive;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool WhileRows(Tensor tensor, WeakReference reference)
    {
        using var rows = Rows.Of(tensor, 1);
        return AliveAfterCollection(reference);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool WhileMatrix(Tensor tensor, WeakReference reference)
    {
        using var matrix = new TensorMatrix(tensor);
        return AliveAfterCollection(reference);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool WhileFloatRow(Tensor tensor, WeakReference reference)
    {
        using var row = new FloatRow(tensor, 32);
        return AliveAfterCollection(reference);
    }

    [Fact]
    public void TensorsThatAKernelReads_Live()
    {
        Assert.True(Call(WhileRows), nameof(Rows));
        Assert.True(Call(WhileMatrix), nameof(TensorMatrix));
        Assert.True(Call(WhileFloatRow), nameof(FloatRow));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool Call(Func<Tensor, WeakReference, bool> read)
    {
        var (tensor, reference) = Make();
        return read(tensor, reference);
    }
}
