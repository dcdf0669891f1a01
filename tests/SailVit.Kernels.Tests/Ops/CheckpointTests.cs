using SailVit.Kernels.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using F = SailVit.Kernels.functional;

namespace SailVit.Kernels.Tests.Ops;

public sealed class CheckpointTests
{
    private static (float[] Output, float[] Input, float[] Weight) Gradients(bool checkpointed, bool inputNeedsGrad, double dropout)
    {
        using var scope = NewDisposeScope();
        manual_seed(5);
        using var model = nn.Sequential(("fc1", nn.Linear(6, 8)), ("drop", nn.Dropout(dropout)), ("act", nn.GELU()), ("fc2", nn.Linear(8, 4)));
        var x = randn(3, 6).requires_grad_(inputNeedsGrad);
        var y = checkpointed ? F.checkpoint(model.call, x) : model.call(x);
        (y * arange(4)).sum().backward();
        return (Values(y), inputNeedsGrad ? Values(x.grad!) : [], [.. model.parameters().SelectMany(p => Values(p.grad!))]);
    }

    private static float[] Values(Tensor t) => t.detach().cpu().contiguous().data<float>().ToArray();

    [Theory]
    [InlineData(true, 0.0)]
    [InlineData(false, 0.0)]
    [InlineData(true, 0.5)]
    public void Gradients_EqualThoseWithoutCheckpoint(bool inputNeedsGrad, double dropout)
    {
        var plain = Gradients(false, inputNeedsGrad, dropout);
        var checkpointed = Gradients(true, inputNeedsGrad, dropout);
        Assert.Equal(plain.Output, checkpointed.Output);
        Assert.Equal(plain.Input, checkpointed.Input);
        Assert.Equal(plain.Weight, checkpointed.Weight);
    }

    [Fact]
    public void FunctionMayReturnAParameterItself()
    {
        using var scope = NewDisposeScope();
        var parameter = ones(4, requires_grad: true);
        F.checkpoint(_ => parameter, ones(4, requires_grad: true)).sum().backward();
        Assert.True(parameter.is_leaf);
        Assert.Equal([1, 1, 1, 1], Values(parameter.grad!));
    }

    [Fact]
    public void NullFromTheFunction_IsNamed()
    {
        using var x = ones(4, requires_grad: true);
        Assert.Contains("null", Assert.Throws<InvalidOperationException>(() => F.checkpoint(_ => null!, x)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RandomStateAfterBackward_IsAsIfNothingWasRecomputed()
    {
        float Draw(bool checkpointed)
        {
            Gradients(checkpointed, true, 0.5);
            using var draw = rand(1);
            return draw.item<float>();
        }
        Assert.Equal(Draw(false), Draw(true));
    }

    [Fact]
    public void FailureInTheRecomputation_Surfaces()
    {
        using var scope = NewDisposeScope();
        int calls = 0;
        var x = ones(3).requires_grad_();
        var y = F.checkpoint(t => ++calls == 1 ? t * 2 : throw new InvalidOperationException("planted"), x);
        var e = Assert.Throws<BackwardException>(() => BackwardException.Run(y.sum()));
        Assert.Contains("planted", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutGradMode_RunsOnce()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        int calls = 0;
        F.checkpoint(t => { calls++; return t * 2; }, ones(3));
        Assert.Equal(1, calls);
    }
}
