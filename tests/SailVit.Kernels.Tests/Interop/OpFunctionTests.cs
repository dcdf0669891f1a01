using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

/// <summary>Gradients of the autograd base, in every way that a graph can reach it.</summary>
public sealed class OpFunctionTests
{
    private static Tensor Ramp(params long[] shape) => arange(shape.Aggregate(1L, (a, b) => a * b), dtype: float32).reshape(shape) + 1;

    private static void AssertEqual(Tensor expected, Tensor? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.shape, actual.shape);
        Assert.True(expected.detach().allclose(actual.detach()), $"expected {expected.jlstr()}, got {actual.jlstr()}");
    }

    [Fact]
    public void Gradient_IsRight()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(2, 3).requires_grad_();
        Square.Run(new Options(), x)[0].sum().backward();
        AssertEqual(6 * x, x.grad);
    }

    [Fact]
    public void Gradient_AddsToAnExistingOne()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(4).requires_grad_();
        Square.Run(new Options(), x)[0].sum().backward();
        Square.Run(new Options(), x)[0].sum().backward();
        AssertEqual(12 * x, x.grad);
    }

    [Fact]
    public void Gradient_MovesIntoGradWithoutACopy()
    {
        using var scope = NewDisposeScope();
        var x = ones(1 << 14).requires_grad_();
        var planned = full(1 << 14, 7f);
        nint pointer = Pointer(planned);
        var loss = Square.Run(new Options { Gradients = () => [planned] }, x)[0].sum();
        loss.backward();
        Assert.Equal(pointer, Pointer(x.grad!));
        // Ours to the gradient is gone with the next op; the leaf keeps its own.
        Square.Run(new Options(), x);
        Assert.True(planned.IsInvalid);
        AssertEqual(full(1 << 14, 7f), x.grad);
    }

    private static unsafe nint Pointer(Tensor tensor) => (nint)new TensorView(tensor).Data;

    [Fact]
    public void Gradient_ReachesNonLeafInputs()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(5).requires_grad_();
        var h = x * 2;
        h.retain_grad();
        Square.Run(new Options(), h)[0].sum().backward();
        AssertEqual(6 * h, h.grad);
        AssertEqual(24 * x, x.grad);
    }

    [Fact]
    public void InputUsedTwice_GetsBothGradients()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        (Sum.Run(new Options(), x, x)[0] * 5).sum().backward();
        AssertEqual(full(3, 10f), x.grad);
    }

    [Fact]
    public void TwoCalls_OnOneInput_AddUp()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        (Square.Run(new Options(), x)[0] + Square.Run(new Options { Factor = 1 }, x)[0]).sum().backward();
        AssertEqual(8 * x, x.grad);
    }

    [Fact]
    public void OwnFunctions_Chain()
    {
        using var scope = NewDisposeScope();
        var x = (Ramp(3) / 10).requires_grad_();
        Exponential.Run(new Options(), Square.Run(new Options(), x)[0])[0].sum().backward();
        AssertEqual((3 * x * x).exp() * 6 * x, x.grad);
    }

    [Fact]
    public void IncomingGradient_ReturnedAsItIs_Arrives()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        var y = Ramp(3).requires_grad_();
        var weight = Ramp(3);
        (Sum.Run(new Options(), x, y)[0] * weight).sum().backward();
        AssertEqual(weight, x.grad);
        AssertEqual(weight, y.grad);
        // Each leaf owns its gradient: changing one leaves the other.
        using (no_grad())
        {
            x.grad!.add_(1);
        }
        AssertEqual(weight, y.grad);
    }

    [Fact]
    public void InputWithoutGrad_GetsNone()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3);
        var w = Ramp(3).requires_grad_();
        var outputs = Trio.Run(new Options(), x, w, null);
        outputs[0].sum().backward();
        AssertEqual(x, w.grad);
        Assert.Null(x.grad);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void UndefinedGradients_AreNull(bool useProduct, bool useSum)
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        var w = Ramp(3).requires_grad_();
        var b = zeros(3).requires_grad_();
        Tensor?[]? seen = null;
        var outputs = Trio.Run(new Options { Observe = g => seen = Array.ConvertAll(g, t => t) }, x, w, b);
        var loss = zeros(1);
        loss = useProduct ? loss + (outputs[0] * 2).sum() : loss;
        loss = useSum ? loss + (outputs[2] * 5).sum() : loss;
        loss.backward();
        Assert.Equal([useProduct, false, useSum], Array.ConvertAll(seen!, g => g is not null));
        AssertEqual((useProduct ? 2 * w : zeros(3)) + (useSum ? 5 : 0), x.grad);
        if (useSum)
        {
            AssertEqual(full(3, 5f), b.grad);
        }
        else
        {
            Assert.Null(b.grad);
        }
    }

    [Fact]
    public void NonDifferentiableOutput_KeepsItsPlaceAndHasNoGradient()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        var outputs = Trio.Run(new Options(), x, ones(3), null);
        Assert.Equal([true, false, true], Array.ConvertAll(outputs, o => o.requires_grad));
        Assert.Equal(6f, outputs[1].item<float>());
        Assert.Equal(3, outputs.Length);
    }

    [Fact]
    public void ExpandedGradient_IsHandedOver()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(2, 3).requires_grad_();
        long[]? strides = null;
        Square.Run(new Options { Observe = g => strides = g[0]!.stride() }, x)[0].sum().backward();
        Assert.Equal([0L, 0L], strides!);
        AssertEqual(6 * x, x.grad);
    }

    [Fact]
    public void TransposedGradient_IsHandedOver()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(2, 3).requires_grad_();
        var weight = Ramp(3, 2);
        long[]? strides = null;
        (Square.Run(new Options { Observe = g => strides = g[0]!.stride() }, x)[0].t() * weight).sum().backward();
        Assert.Equal([1L, 2L], strides!);
        AssertEqual(6 * x * weight.t(), x.grad);
    }

    [Fact]
    public void RetainedGraph_RunsAgain()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        var loss = Square.Run(new Options(), x)[0].sum();
        autograd.backward(loss, retain_graph: true);
        autograd.backward(loss, retain_graph: true);
        loss.backward();
        AssertEqual(18 * x, x.grad);
    }

    [Fact]
    public void AutogradGrad_ReturnsTheGradientAndTouchesNoLeaf()
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_();
        var gradient = autograd.grad([Square.Run(new Options(), x)[0]], [x], [full(3, 2f)])[0];
        AssertEqual(12 * x, gradient);
        Assert.Null(x.grad);
    }

    [Theory]
    [InlineData("no_grad")]
    [InlineData("inference_mode")]
    [InlineData("no input wants one")]
    public void Inference_RecordsNoGraph(string mode)
    {
        using var scope = NewDisposeScope();
        var x = Ramp(3).requires_grad_(mode != "no input wants one");
        using var guard = mode == "no_grad" ? no_grad() : mode == "inference_mode" ? inference_mode() : null;
        var y = Square.Run(new Options(), x)[0];
        Assert.False(y.requires_grad);
        AssertEqual(3 * x * x, y);
    }

    [Fact]
    public void SeveralThreads_RunTheirOwnGraphs()
    {
        var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var threads = Enumerable.Range(1, 6).Select(id => new Thread(() =>
        {
            for (int step = 0; step < 200; step++)
            {
                using var scope = NewDisposeScope();
                var x = (Ramp(8) * id).requires_grad_();
                Square.Run(new Options { Factor = id }, x)[0].sum().backward();
                if (!x.grad!.allclose(2 * id * x.detach()))
                {
                    failures.Enqueue($"thread {id}, step {step}");
                }
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        Assert.Empty(failures);
    }
}
