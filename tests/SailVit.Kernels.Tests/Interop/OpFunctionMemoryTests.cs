using System.Globalization;
using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

/// <summary>Tests that watch the whole process: nothing else runs beside them.</summary>
[CollectionDefinition(nameof(WholeProcess), DisableParallelization = true)]
public sealed class WholeProcess;

/// <summary>Nothing leaks, and nothing is held longer than a builtin node would hold it.</summary>
[Collection(nameof(WholeProcess))]
public sealed class OpFunctionMemoryTests
{
    /// <summary>Live wrappers created by this thread, however they came to be.</summary>
    internal static long LiveTensors => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    internal static long ResidentBytes
    {
        get
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
            return Environment.WorkingSet;
        }
    }

    private static void StepInScope(Tensor x)
    {
        using var scope = NewDisposeScope();
        var outputs = Trio.Run(new Options(), Exponential.Run(new Options(), x)[0], x, null);
        (outputs[0] + outputs[2]).sum().backward();
        x.grad!.zero_();
    }

    private static void StepWithoutScope(Tensor x)
    {
        // What a careful user without scopes disposes: what it holds.
        var e = Exponential.Run(new Options(), x)[0];
        var outputs = Trio.Run(new Options(), e, x, null);
        var sum = outputs[0] + outputs[2];
        var loss = sum.sum();
        loss.backward();
        var grad = x.grad!;
        var zeroed = grad.zero_();
        Array.ForEach([e, .. outputs, sum, loss, grad, zeroed], t => t.Dispose());
    }

    private static void FailingStep(Tensor x)
    {
        using var scope = NewDisposeScope();
        Assert.Throws<InvalidOperationException>(() => Square.Run(new Options { FailForward = new InvalidOperationException() }, x));
        var loss = Square.Run(new Options { FailBackward = new InvalidOperationException() }, x)[0].sum();
        Assert.Throws<BackwardException>(() => BackwardException.Run(loss));
    }

    [Theory]
    [InlineData("in a scope", 10_000)]
    [InlineData("without a scope", 10_000)]
    [InlineData("failing", 250)]
    public void ManySteps_LeaveMemoryFlat(string how, int steps)
    {
        // One tensor leaked per step would add 160 MB.
        const long leak = 160L << 20;
        using var x = randn(leak / steps / 4).requires_grad_();
        Action<Tensor> step = how switch { "in a scope" => StepInScope, "without a scope" => StepWithoutScope, _ => FailingStep };
        for (int i = 0; i < steps / 10; i++)
        {
            step(x);
        }
        InFlightGradients.Release();
        var (resident, live) = (ResidentBytes, LiveTensors);
        for (int i = 0; i < steps; i++)
        {
            step(x);
        }
        InFlightGradients.Release();
        Assert.Equal(live, LiveTensors);
        Assert.InRange(ResidentBytes - resident, long.MinValue, leak / 4);
    }

    [Fact]
    public void Forward_KeepsTheOutputsOnly()
    {
        InFlightGradients.Release();
        using var x = randn(8).requires_grad_();
        long before = LiveTensors;
        var y = Square.Run(new Options(), x)[0];
        Assert.Equal(before + 1, LiveTensors);
        y.Dispose();
        Assert.Equal(before, LiveTensors);
    }

    [Fact]
    public void Forward_HoldsNoHiddenCopyOfTheOutput()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc");
        // 64 Mi floats = 256 MB: far above any allocator's slack. An untouched copy shows in the address space only.
        const long bytes = 256L << 20;
        using var x = zeros(bytes / 4).requires_grad_();
        long before = AddressSpace();
        using var y = Square.Run(new Options(), x)[0];
        Assert.InRange(AddressSpace() - before, bytes * 9 / 10, bytes * 3 / 2);
    }

    [Fact]
    public void SavedOutput_IsFreedWithTheGraph()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc");
        const long bytes = 256L << 20;
        using var x = zeros(bytes / 4).requires_grad_();
        long before = AddressSpace();
        Exponential.Run(new Options(), x)[0].Dispose();
        Assert.InRange(AddressSpace() - before, long.MinValue, bytes / 2);
    }

    [Fact]
    public void Backward_ReleasesSavedTensorsAtOnce()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc");
        const long bytes = 256L << 20;
        using var x = zeros(1).requires_grad_();
        long before = AddressSpace();
        Tensor y;
        using (var scope = NewDisposeScope())
        {
            y = Square.Run(new Options(), x.expand(bytes / 4).contiguous())[0].sum().MoveToOuterDisposeScope();
        }
        // The saved input lives in the graph, then no longer, although the loss still does.
        Assert.InRange(AddressSpace() - before, bytes * 9 / 10, bytes * 3 / 2);
        y.backward();
        InFlightGradients.Release();
        Assert.InRange(AddressSpace() - before, long.MinValue, bytes / 2);
        y.Dispose();
    }

    private static long AddressSpace()
    {
        var line = File.ReadLines("/proc/self/status").First(l => l.StartsWith("VmSize:", StringComparison.Ordinal));
        return long.Parse(line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
    }
}
