using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Approximate = TorchSharp.Modules.GELU.Approximate;
using F = TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>GELU by erf and by tanh, and SiLU.</summary>
public class GeluTests
{
    public static TheoryData<string> Names => ["gelu", "gelu tanh", "silu"];

    private static Tensor Ours(string name, Tensor x, bool inplace = false) => name switch
    {
        "gelu" => functional.gelu(x, inplace),
        "gelu tanh" => functional.gelu(x, Approximate.tanh, inplace),
        _ => functional.silu(x, inplace),
    };

    private static Tensor Stock(string name, Tensor x) => name switch
    {
        "gelu" => F.gelu(x),
        "gelu tanh" => F.gelu(x, Approximate.tanh),
        _ => F.silu(x),
    };

    private static OpCase Case(string name, string detail, Tensor x, int seed = 1) => new()
    {
        Name = $"{name}, {detail}",
        Inputs = [x],
        Ours = t => [Ours(name, t[0])],
        Stock = t => [Stock(name, t[0])],
        Seed = seed,
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void ForwardAndBackward_MatchReference(string name)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(31);
        foreach (var dtype in (ScalarType[])[float32, bfloat16, float16])
        {
            foreach (int width in (int[])[1, 3, 96, 1000, 16384])
            {
                OpCheck.Run(Case(name, $"width {width}", (3 * randn([31, width], generator: g)).to(dtype)));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void DenseRange_MatchesReference(string name)
    {
        using var scope = NewDisposeScope();
        OpCheck.Run(Case(name, "-12 … 12", linspace(-12, 12, 100_000, dtype: float32).reshape(100, 1000)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void AnyLayout_OfInputsAndGradients(string name)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(32);
        foreach (var layout in Strides.All)
        {
            OpCheck.Run(Case(name, layout.Name, layout.Apply(randn([2, 9, 40], generator: g))) with { GradLayout = layout.Apply });
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void AdversarialValues_MatchReference(string name)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(33);
        foreach (var values in Adversarial.Finite)
        {
            OpCheck.Run(Case(name, values.Name, values.Make([31, 96], g)));
        }
        foreach (var values in Adversarial.NonFinite)
        {
            OpCheck.Run(Case(name, values.Name, values.Make([31, 96], g)) with { Differentiable = [] });
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Gradients_PassCentralDifferences(string name)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(34);
        GradCheck.Run(name, t => Ours(name, t[0]), t => Stock(name, t[0]), [2 * randn([5, 17], generator: g)]);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void InPlace_OverwritesAndCountsAsAChange(string name)
    {
        using var scope = NewDisposeScope();
        foreach (var layout in Strides.All)
        {
            var x = layout.Apply(randn(4, 40));
            var expected = Ours(name, x);
            var y = Ours(name, x, inplace: true);
            Assert.True(Bits.Same(expected, x));
            Assert.True(Bits.Same(expected, y));
        }

        // A graph that saved x must notice.
        var weight = randn(4, 40).requires_grad_();
        var saved = randn(4, 40);
        var product = (weight * saved).sum();
        Ours(name, saved, inplace: true);
        Assert.ThrowsAny<Exception>(() => product.backward());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void InPlace_UnderAutograd_GivesTheGradient(string name)
    {
        using var scope = NewDisposeScope();
        Tensor Gradient(bool inplace)
        {
            var leaf = linspace(-3, 3, 40, dtype: float32).requires_grad_();
            var x = leaf * 1;
            Ours(name, x, inplace).sum().backward();
            return leaf.grad!;
        }
        Assert.True(Bits.Same(Gradient(false), Gradient(true)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Results_DoNotDependOnRunOrThreads(string name)
    {
        using var scope = NewDisposeScope();
        var x = randn(300, 200);
        Tensor[] Work()
        {
            var leaf = x.detach().requires_grad_();
            var y = Ours(name, leaf);
            y.backward([x]);
            return [y.detach(), leaf.grad!];
        }
        Determinism.Check(name, Work);
        Determinism.CheckThreads(name, Work);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void InPlace_LeavesNoTensorBehind(bool graph)
    {
        using var x = randn(3, 4, requires_grad: graph);
        using var y = x * 2;
        functional.gelu(y, inplace: true).Dispose();
        long before = Tensor.TotalCount;
        functional.gelu(y, inplace: true).Dispose();
        Assert.Equal(before, Tensor.TotalCount);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void BadArguments_AreNamed(string name)
    {
        using var scope = NewDisposeScope();
        Assert.Throws<ArgumentNullException>("x", () => Ours(name, null!));
        Assert.Contains("Float64", Assert.Throws<ArgumentException>("x", () => Ours(name, ones(2, dtype: float64))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("gelu", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 1_000_000);
        long[] shape = [random.Next(1, 6), random.Next(1, 9), random.Next(1, 300)];
        var layout = random.Pick(Strides.All);
        var x = layout.Apply((random.Pick(1, 4) * randn(shape, generator: g)).to(random.Pick(float32, bfloat16, float16)));
        OpCheck.Run(Case(random.Pick("gelu", "gelu tanh", "silu"), $"[{string.Join(", ", shape)}] {layout}", x, seed) with
        {
            GradLayout = random.Pick(Strides.All).Apply,
            Widths = [random.Pick(Cpu.Available)],
        });
    });
}
