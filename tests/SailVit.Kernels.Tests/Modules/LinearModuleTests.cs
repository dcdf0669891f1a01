using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Linear = SailVit.Kernels.Modules.Linear;
using Mlp = SailVit.Kernels.Modules.Mlp;
using SwiGLU = SailVit.Kernels.Modules.SwiGLU;

namespace SailVit.Kernels.Tests.Modules;

public sealed class LinearModuleTests
{
    [Fact]
    public void StateDict_HasTheNamesOfTheCheckpoints()
    {
        using var linear = new Linear(3, 4);
        using var swiglu = new SwiGLU(3, 4);
        using var biased = new SwiGLU(3, 4, hasBias: true);
        using var mlp = new Mlp(3, 4);
        Assert.Equal(["bias", "weight"], linear.state_dict().Keys.Order());
        Assert.Equal(["fc1.weight", "fc2.weight", "fc3.weight"], swiglu.state_dict().Keys.Order());
        Assert.Equal(6, biased.state_dict().Count);
        Assert.Equal(["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"], mlp.state_dict().Keys.Order());
        Assert.Equal([4, 3], swiglu.state_dict()["fc1.weight"].shape);
        Assert.Equal([3, 4], swiglu.state_dict()["fc2.weight"].shape);
    }

    [Fact]
    public void Initialisation_IsUniformWithinTheBound()
    {
        using var linear = new Linear(400, 300);
        using var scope = NewDisposeScope();
        Assert.InRange(linear.weight.abs().max().item<float>(), 0.049f, 0.05f);
        Assert.InRange(linear.weight.mean().item<float>(), -0.001f, 0.001f);
        Assert.InRange(linear.bias!.abs().max().item<float>(), 0.04f, 0.05f);
    }

    [Fact]
    public void Linear_SeesEveryChangeOfItsWeight()
    {
        using var scope = NewDisposeScope();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var linear = new Linear(40, 70);
        var x = randn(5, 40);
        void Matches() => Assert.True(linear.forward(x).allclose(nn.functional.linear(x, linear.weight, linear.bias), rtol: 1e-4, atol: 1e-5));
        using (no_grad())
        {
            Matches();
            linear.weight.mul_(2);
            Matches();
            linear.load_state_dict(new() { ["weight"] = randn(70, 40), ["bias"] = randn(70) });
            Matches();
        }
        Matches();
        linear.forward(x).sum().backward();
        Assert.NotNull(linear.weight.grad);
        using (no_grad())
        {
            linear.weight.sub_(linear.weight.grad!);
            Matches();
        }
    }

    [Fact]
    public void InferenceMode_SeesEveryChangeOfTheWeight()
    {
        using var scope = NewDisposeScope();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var before = new Linear(40, 70);
        using var mode = inference_mode();
        using var inside = new Linear(40, 70);
        var x = randn(5, 40);
        foreach (var linear in new[] { before, inside })
        {
            linear.forward(x);
            linear.weight.mul_(2);
            Assert.True(linear.forward(x).allclose(nn.functional.linear(x, linear.weight, linear.bias), rtol: 1e-4, atol: 1e-5));
        }
    }

    [Fact]
    public void Load_ReachesThePackedWeights()
    {
        using var scope = NewDisposeScope();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var noGrad = no_grad();
        using var from = new SwiGLU(40, 70);
        using var to = new SwiGLU(40, 70);
        var x = randn(5, 40);
        to.forward(x);
        using var file = new MemoryStream();
        from.save(file);
        to.load(new MemoryStream(file.ToArray()));
        Assert.True(Bits.Same(from.forward(x), to.forward(x)));
    }

    [Fact]
    public void TrainingOnOneThread_LeavesInferenceOnAnotherItsPackedWeights()
    {
        using var scope = NewDisposeScope();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var swiglu = new SwiGLU(64, 64);
        var x = randn(8, 64);
        void Run(bool graph)
        {
            using var path = LinearDispatch.Use(LinearPath.Own);
            using var mode = set_grad_enabled(graph);
            for (int i = 0; i < 300; i++)
            {
                swiglu.forward(x).Dispose();
            }
        }
        var failure = Record.Exception(() => Parallel.Invoke(() => Run(true), () => Run(false), () => Run(true), () => Run(false)));
        Assert.Null(failure);
    }

    [Fact]
    public void Linear_ConvertsToAnotherType()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        using var linear = new Linear(40, 70);
        linear.forward(randn(5, 40));
        linear.to(bfloat16);
        var x = randn(5, 40).to(bfloat16);
        Assert.Equal(bfloat16, linear.weight.dtype);
        Assert.Equal(bfloat16, linear.state_dict()["bias"].dtype);
        Assert.True(Bits.Same(functional.linear(x, linear.weight, linear.bias), linear.forward(x)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void SwiGLU_MatchesStock(bool training)
    {
        using var scope = NewDisposeScope();
        using var mode = set_grad_enabled(training);
        using var module = new SwiGLU(40, 70, hasBias: true);
        OpCheck.Run(Case(module, "SwiGLU", t =>
        {
            var gate = nn.functional.silu(Stock(module.fc1, t));
            return Stock(module.fc2, gate * Stock(module.fc3, t));
        }, training));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Mlp_MatchesStock(bool training)
    {
        using var scope = NewDisposeScope();
        using var mode = set_grad_enabled(training);
        using var module = new Mlp(40, 70);
        OpCheck.Run(Case(module, "Mlp", t => Stock(module.fc2, nn.functional.gelu(Stock(module.fc1, t))), training));
    }

    [Fact]
    public void Parameters_GetGradients()
    {
        using var scope = NewDisposeScope();
        using var swiglu = new SwiGLU(8, 12, hasBias: true);
        using var mlp = new Mlp(8, 12, activation: Activation.GeluTanh);
        (swiglu.forward(randn(3, 8)) + mlp.forward(randn(3, 8))).sum().backward();
        Assert.All(swiglu.parameters().Concat(mlp.parameters()), p => Assert.True(p.grad!.abs().max().item<float>() > 0));
    }

    [Fact]
    public void Inference_KeepsPackedWeights_TrainingDropsThem()
    {
        using var scope = NewDisposeScope();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var linear = new Linear(256, 1024);
        var x = randn(9, 256);
        using (no_grad())
        {
            linear.forward(x);
            Assert.Equal(1024 * 256 * sizeof(float), linear.PackedBytes);
        }
        linear.forward(x);
        Assert.Equal(0, linear.PackedBytes);
    }

    private static Tensor Stock(Linear layer, Tensor x) => nn.functional.linear(x, layer.weight.to(x.dtype), layer.bias?.to(x.dtype));

    private static OpCase Case(nn.Module<Tensor, Tensor> module, string name, Func<Tensor, Tensor> stock, bool training) => new()
    {
        Name = $"{name}, training {training}",
        Inputs = [randn(3, 5, 40), randn(3, 5, 40)],
        Ours = t => [((SailVit.Kernels.Modules.IResidualBranch)module).forward(t[0], t[1]), module.forward(t[0])],
        Stock = t => [stock(t[0]) + t[1], stock(t[0])],
        Differentiable = training ? null : [],
    };
}
