using SailVit.Model.Training;
using SailVit.Testing;
using TorchSharp;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Training;

public sealed class FusedAdamWTests
{
    private const int Steps = 12;

    private static Parameter[] Parameters(ScalarType dtype)
    {
        using var generator = new Generator(5);
        long[][] shapes = [[33, 17], [64], [1], [3, 5, 7]];
        return Array.ConvertAll(shapes, s => nn.Parameter(randn(s, generator: generator).to(dtype)));
    }

    private static void Train(Parameter[] parameters, optim.Optimizer optimizer, int from = 0, int to = Steps)
    {
        for (int step = from; step < to; step++)
        {
            using var scope = NewDisposeScope();
            optimizer.zero_grad();
            for (int i = 0; i < parameters.Length; i++)
            {
                // The third parameter misses a step; its count stays behind.
                if (i == 2 && step == 3)
                {
                    continue;
                }
                var target = full(parameters[i].shape, (float)(i + Math.Sin(step)), parameters[i].dtype);
                (parameters[i] - target).pow(2).sum().backward();
            }
            optimizer.step();
        }
    }

    [Theory]
    [InlineData(false, false, 0.0)]
    [InlineData(false, false, 0.05)]
    [InlineData(true, false, 0.05)]
    [InlineData(false, true, 0.01)]
    public void SameParametersAsTorchSharp(bool amsgrad, bool maximize, double decay)
    {
        using var scope = NewDisposeScope();
        var (ours, stock) = (Parameters(float32), Parameters(float32));
        Train(ours, new FusedAdamW(ours, 1e-2, weight_decay: decay, amsgrad: amsgrad, maximize: maximize));
        Train(stock, new AdamW(stock, 1e-2, weight_decay: decay, amsgrad: amsgrad, maximize: maximize));
        for (int i = 0; i < ours.Length; i++)
        {
            Assert.True(ours[i].allclose(stock[i], 2e-6, 1e-6), $"parameter {i}");
        }
    }

    [Fact]
    public void AgreesWithFloat64WithinTheProtocol()
    {
        using var scope = NewDisposeScope();
        var (ours, stock, exact) = (Parameters(float32), Parameters(float32), Parameters(float32));
        exact = Array.ConvertAll(exact, p => nn.Parameter(p.detach().to(float64)));
        Train(ours, new FusedAdamW(ours, 1e-2, weight_decay: 0.05));
        Train(stock, new AdamW(stock, 1e-2, weight_decay: 0.05));
        Train(exact, new AdamW(exact, 1e-2, weight_decay: 0.05));
        for (int i = 0; i < ours.Length; i++)
        {
            Protocol.Check($"AdamW parameter {i} after {Steps} steps", ours[i].detach(), stock[i].detach(), exact[i].detach());
        }
    }

    [Fact]
    public void StateIsThatOfTheBaseClass_SoARunCanChangeOver()
    {
        using var scope = NewDisposeScope();
        var (ours, stock) = (Parameters(float32), Parameters(float32));
        var first = new AdamW(ours, 1e-2);
        Train(ours, first, 0, 6);
        var second = new FusedAdamW(ours, 1e-2);
        second.load_state_dict(first.state_dict());
        Train(ours, second, 6, Steps);
        Train(stock, new AdamW(stock, 1e-2));
        Assert.True(ours[0].allclose(stock[0], 2e-6, 1e-6));
    }

    [Fact]
    public void GroupsKeepTheirOwnRates()
    {
        using var scope = NewDisposeScope();
        var parameters = Parameters(float32);
        var before = parameters[0].detach().clone();
        var optimizer = new FusedAdamW(
            [
                new AdamW.ParamGroup { Parameters = parameters[..1], Options = new AdamW.Options { LearningRate = 0 } },
                new AdamW.ParamGroup { Parameters = parameters[1..] },
            ], 1e-2);
        var moving = parameters[1].detach().clone();
        Train(parameters, optimizer, 0, 1);
        Assert.True(Bits.Same(before, parameters[0].detach()));
        Assert.False(Bits.Same(moving, parameters[1].detach()));
    }

    [Fact]
    public void NonContiguousGradient_IsRight()
    {
        using var scope = NewDisposeScope();
        var (ours, stock) = (Parameters(float32)[..1], Parameters(float32)[..1]);
        ours[0].grad = stock[0].grad = Strides.Transposed(randn(33, 17));
        new FusedAdamW(ours).step();
        new AdamW(stock).step();
        Assert.True(ours[0].allclose(stock[0], 1e-6, 1e-7));
    }

    [Fact]
    public void WrongLists_AreRefused()
    {
        using var scope = NewDisposeScope();
        Tensor[] p = [ones(3)], wrong = [ones(4)];
        var options = new Kernels.AdamWOptions(1e-3);
        Assert.Contains("shape", Assert.Throws<ArgumentException>(() => Kernels.functional.adamw_(p, wrong, p, p, null, 1, options)).Message, StringComparison.Ordinal);
        Assert.Contains("one for each", Assert.Throws<ArgumentException>(() => Kernels.functional.adamw_(p, [], p, p, null, 1, options)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => Kernels.functional.adamw_(p, p, p, p, null, 0, options));
        Assert.Contains("lr = NaN", Assert.Throws<ArgumentException>(() => Kernels.functional.adamw_(p, p, p, p, null, 1, options with { lr = double.NaN })).Message, StringComparison.Ordinal);
        Assert.Contains("below 1", Assert.Throws<ArgumentException>(() => Kernels.functional.adamw_(p, p, p, p, null, 1, options with { beta2 = 1 })).Message, StringComparison.Ordinal);
    }
}
