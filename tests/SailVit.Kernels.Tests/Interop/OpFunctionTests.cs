using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Interop;

public sealed class OpFunctionTests
{
    private sealed class Options
    {
        public double Factor { get; init; } = 3;
        public Exception? FailForward { get; init; }
        public Exception? FailBackward { get; init; }
        public nint ReturnedGradient { get; set; }
    }

    /// <summary>y = factor·x², by plain torch ops: enough to exercise the base.</summary>
    private sealed class Square : OpFunction<Square, Options>
    {
        public override string Name => "square";

        protected override ForwardResult Forward(Options state, Tensor?[] inputs)
        {
            if (state.FailForward is { } failure)
            {
                throw failure;
            }
            var y = inputs[0]! * inputs[0]! * state.Factor;
            return new([y], [inputs[0]]);
        }

        protected override Tensor?[] Backward(Options state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
        {
            if (state.FailBackward is { } failure)
            {
                throw failure;
            }
            var dx = 2 * state.Factor * saved[0]! * grads[0]!;
            unsafe
            {
                state.ReturnedGradient = (nint)new TensorView(dx).Data;
            }
            return [dx];
        }
    }

    [Fact]
    public void Gradient_IsRight()
    {
        using var scope = NewDisposeScope();
        var x = arange(6, dtype: float32).reshape(2, 3).requires_grad_();
        Square.Run(new Options(), x)[0].sum().backward();
        Assert.True(x.grad!.allclose(6 * x.detach()));
    }

    [Fact]
    public void ExceptionInBackward_SurfacesWithItsCause()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var loss = Square.Run(new Options { FailBackward = new InvalidOperationException("planted") }, x)[0].sum();
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(loss));
        Assert.Contains("planted", e.Message, StringComparison.Ordinal);
        Assert.Contains("square", e.Message, StringComparison.Ordinal);
        // The process lives and the next pass works.
        Square.Run(new Options(), x)[0].sum().backward();
        Assert.Equal(6f, x.grad![0].item<float>());
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
    public void InPlaceChangeOfASavedTensor_Raises()
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
    public unsafe void GradientOfALeaf_IsAdoptedWithoutACopy()
    {
        using var scope = NewDisposeScope();
        var x = ones(1000).requires_grad_();
        var options = new Options();
        Square.Run(options, x)[0].sum().backward();
        Assert.Equal(options.ReturnedGradient, (nint)new TensorView(x.grad!).Data);
        Assert.True(x.grad!.allclose(6 * x.detach()));
    }

    [Fact]
    public void DoubleBackward_Raises()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var y = Square.Run(new Options(), x)[0].sum();
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(() => y.backward(create_graph: true)));
        Assert.Contains("no second derivative", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FailureUnderAutogradGrad_LeavesTheProcessAliveWithNaN()
    {
        using var scope = NewDisposeScope();
        var x = ones(3).requires_grad_();
        var y = Square.Run(new Options { FailBackward = new InvalidOperationException("planted") }, x)[0].sum();
        IList<Tensor>? grads = null;
        Assert.Throws<BackwardException>(() => BackwardException.Run(() => grads = autograd.grad([y], [x])));
        Assert.True(grads![0].isnan().all().item<bool>());
    }
}
