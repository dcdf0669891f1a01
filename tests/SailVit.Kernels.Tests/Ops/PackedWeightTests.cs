using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public sealed class PackedWeightTests
{
    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void Packed_GivesTheBitsOfUnpacked(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(1);
        foreach (var path in LinearCases.Paths)
        {
            using var forced = LinearDispatch.Use(path);
            var t = LinearCases.Inputs([5, 7], 40, 70, dtype, g, residual: true);
            using var packed = new PackedWeight(t[1]!);
            for (int call = 0; call < 2; call++)
            {
                var y = functional.linear(t[0]!, packed, t[2], Activation.Gelu, t[3]);
                Assert.True(Bits.Same(y, functional.linear(t[0]!, t[1]!, t[2], Activation.Gelu, t[3])));
            }
            Assert.Equal(path == LinearPath.Own, packed.Bytes > 0);
            var s = LinearCases.SwiGluInputs([3], 40, 70, dtype, g);
            using var pair = new PackedWeight(s[1]!, s[2]!);
            Assert.True(Bits.Same(functional.linear_swiglu(s[0]!, pair, s[3], s[4]), functional.linear_swiglu(s[0]!, s[1]!, s[2]!, s[3], s[4])));
        }
    }

    [Fact]
    public void Gradients_ReachEverythingButTheWeight()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(2);
        var t = LinearCases.Inputs([5], 40, 70, float32, g, residual: true);
        using var packed = new PackedWeight(t[1]!.requires_grad_());
        OpCheck.Run(LinearCases.Linear("packed", t, LinearPath.Own, Activation.Silu) with
        {
            Ours = x => [functional.linear(x[0], packed, x[2], Activation.Silu, x[3])],
            Differentiable = [true, false, true, true],
        });
        Assert.Null(t[1]!.grad);
    }

    [Fact]
    public void IsCurrent_UntilTheWeightChanges()
    {
        using var scope = NewDisposeScope();
        var (w, x) = (randn(6, 4), randn(2, 4));
        using var packed = new PackedWeight(w);
        Assert.True(packed.IsCurrent(w));
        Assert.False(packed.IsCurrent(w.clone()));
        Assert.False(packed.IsCurrent(w, w));
        functional.linear(x, packed);
        w.add_(1);
        Assert.False(packed.IsCurrent(w));
        Assert.Contains("out of date", Assert.Throws<InvalidOperationException>(() => functional.linear(x, packed)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OutlivesTheScopeAndTheWeightItWasMadeIn()
    {
        PackedWeight packed;
        Tensor x, expected;
        using (NewDisposeScope())
        {
            var w = randn(6, 4);
            x = randn(20, 4).DetachFromDisposeScope();
            expected = functional.linear(x, w).DetachFromDisposeScope();
            packed = new(w);
        }
        using (packed)
        using (x)
        using (expected)
        using (var y = functional.linear(x, packed))
        {
            Assert.True(Bits.Same(expected, y));
        }
    }

    [Fact]
    public void BadUse_IsNamed()
    {
        using var scope = NewDisposeScope();
        var (w, x) = (randn(6, 4), randn(2, 4));
        Assert.Contains("weight has shape [4]", Assert.Throws<ArgumentException>(() => new PackedWeight(randn(4))).Message, StringComparison.Ordinal);
        Assert.Contains("up_weight has shape [5, 4]", Assert.Throws<ArgumentException>(() => new PackedWeight(w, randn(5, 4))).Message, StringComparison.Ordinal);
        using var one = new PackedWeight(w);
        using var pair = new PackedWeight(w, w);
        Assert.Contains("linear_swiglu", Assert.Throws<ArgumentException>(() => functional.linear(x, pair)).Message, StringComparison.Ordinal);
        Assert.Contains("gate and up", Assert.Throws<ArgumentException>(() => functional.linear_swiglu(x, one)).Message, StringComparison.Ordinal);
        Assert.Contains("weight has shape [6, 4]", Assert.Throws<ArgumentException>(() => functional.linear(randn(2, 5), one)).Message, StringComparison.Ordinal);
        one.Dispose();
        one.Dispose();
        Assert.Throws<ObjectDisposedException>(() => functional.linear(x, one));
    }

    [Fact]
    public void OptimizerStep_IsSeen_ByPackedWeightsAndByGraphs()
    {
        using var scope = NewDisposeScope();
        var (w, x) = (randn(6, 4).requires_grad_(), randn(20, 4));
        using var packed = new PackedWeight(w);
        var loss = functional.linear(x.requires_grad_(), w).sum();
        functional.adamw_([w], [ones_like(w)], [zeros_like(w)], [zeros_like(w)], null, 1, new(0.1));
        Assert.False(packed.IsCurrent(w));
        Assert.Throws<InvalidOperationException>(() => functional.linear(x, packed));
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(loss));
        Assert.Contains("modified by an inplace operation", e.Message, StringComparison.Ordinal);
        functional.adamw_([tensor(1f)], [tensor(1f)], [tensor(0f)], [tensor(0f)], null, 1, new(0.1));
    }

    [Fact]
    public void DisposedDuringCallsOnOtherThreads_EndsThemWell()
    {
        using var scope = NewDisposeScope();
        var (w, x) = (randn(64, 64), randn(64, 64));
        var expected = functional.linear(x, w);
        string? wrong = null;
        for (int round = 0; round < 200; round++)
        {
            var packed = new PackedWeight(w);
            var threads = Enumerable.Range(0, 4).Select(_ => new Thread(() =>
            {
                try
                {
                    using var y = functional.linear(x, packed);
                    wrong ??= Bits.FirstDifference(y, expected);
                }
                catch (ObjectDisposedException)
                {
                    // The documented end.
                }
                catch (Exception e)
                {
                    wrong ??= e.ToString();
                }
            })).ToList();
            threads.ForEach(t => t.Start());
            packed.Dispose();
            threads.ForEach(t => t.Join());
        }
        Assert.Null(wrong);
    }
}
