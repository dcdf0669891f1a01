using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

/// <summary>What goes wrong in an op must surface as a .NET exception with its cause, and the process must live.</summary>
public sealed class OpFunctionFailureTests
{
    private static Options FailingBackward(string message = "planted") => new() { FailBackward = new InvalidOperationException(message) };

    [Fact]
    public void ExceptionInBackward_SurfacesWithItsCause()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var loss = Square.Run(FailingBackward(), x)[0].sum();
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(loss));
        Assert.Contains("planted", e.Message, StringComparison.Ordinal);
        Assert.Contains("square", e.Message, StringComparison.Ordinal);
        Assert.IsType<InvalidOperationException>(e.InnerException);
        // The process lives and the next pass works.
        Square.Run(new Options(), x)[0].sum().backward();
        Assert.Equal(6f, x.grad![0].item<float>());
    }

    [Fact]
    public void ExceptionInBackward_WithoutRun_IsAnOrdinaryExceptionAndTheCauseIsKept()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var loss = Square.Run(FailingBackward("kept"), x)[0].sum();
        Assert.ThrowsAny<Exception>(() => loss.backward());
        Assert.Null(x.grad);
        Assert.Contains("kept", BackwardException.TakeLast()!.Message, StringComparison.Ordinal);
        Assert.Null(BackwardException.TakeLast());
    }

    [Fact]
    public void TheFirstFailureOfAPass_IsReported()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var h = Square.Run(FailingBackward("second"), x)[0];
        var y = Square.Run(FailingBackward("first"), h)[0].sum();
        // autograd.grad goes on with NaN, so that both ops fail.
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(() => autograd.grad([y], [x])));
        Assert.Contains("first", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Failures_BelongToTheirThread()
    {
        var seen = new string?[4];
        var threads = Enumerable.Range(0, seen.Length).Select(id => new Thread(() =>
        {
            for (int step = 0; step < 100; step++)
            {
                using var scope = NewDisposeScope();
                var x = ones(3).requires_grad_();
                bool fails = id % 2 == 0;
                var loss = Square.Run(fails ? FailingBackward($"thread {id}") : new Options(), x)[0].sum();
                var caught = Record.Exception(() => BackwardException.Run(loss));
                if (fails ? caught?.Message.Contains($"thread {id}", StringComparison.Ordinal) is not true : caught is not null)
                {
                    seen[id] = caught?.Message ?? "nothing thrown";
                }
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        Assert.All(seen, Assert.Null);
    }

    [Fact]
    public void FailureUnderAutogradGrad_LeavesTheProcessAliveWithNaN()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var y = Square.Run(FailingBackward(), x)[0].sum();
        IList<Tensor>? grads = null;
        Assert.Throws<BackwardException>(() => BackwardException.Run(() => grads = autograd.grad([y], [x])));
        Assert.True(grads![0].isnan().all().item<bool>());
    }

    [Fact]
    public void ExceptionInForward_IsThrownAsItIs()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var e = Assert.Throws<InvalidOperationException>(() => Square.Run(new Options { FailForward = new InvalidOperationException("planted") }, x));
        Assert.Equal("planted", e.Message);
    }

    [Fact]
    public void InPlaceChangeOfASavedInput_Raises()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var h = x * 2;
        var loss = Square.Run(new Options(), h)[0].sum();
        h.add_(1);
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(loss));
        Assert.Contains("modified by an inplace operation", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void InPlaceChangeOfASavedOutput_Raises()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var y = Exponential.Run(new Options(), x)[0];
        y.add_(1);
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(y.sum()));
        Assert.Contains("modified by an inplace operation", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DoubleBackward_Raises()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var y = Square.Run(new Options(), x)[0].sum();
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(() => autograd.grad([y], [x], create_graph: true)));
        Assert.Contains("no second derivative", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SecondBackward_WithoutRetainGraph_Raises()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var y = Square.Run(new Options(), x)[0];
        // A vector straight into the node: no builtin node that would refuse first.
        y.backward([ones(3)]);
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(() => y.backward([ones(3)])));
        Assert.Contains("retain_graph", e.Message, StringComparison.Ordinal);
        Assert.Equal(6f, x.grad![0].item<float>());
    }

    [Fact]
    public void WrongGradients_AreRefusedEvenUnderAutogradGrad()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        foreach (var (wrong, message) in new (Func<Tensor?[]>, string)[]
        {
            (() => [ones(4)], "gradient [4] Float32"),
            (() => [ones(3, dtype: float64)], "gradient [3] Float64"),
            (() => [ones(3), null], "2 gradients for 1 inputs"),
        })
        {
            var y = Square.Run(new Options { Gradients = wrong }, x)[0].sum();
            var e = Assert.Throws<BackwardException>(() => BackwardException.Run(() => autograd.grad([y], [x])));
            Assert.Contains(message, e.Message, StringComparison.Ordinal);
        }
    }
}
