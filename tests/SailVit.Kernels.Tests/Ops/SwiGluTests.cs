using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Ops;

public class SwiGluTests
{
    private static OpCase Separate(string name, Tensor gate, Tensor up, int seed = 1) => new()
    {
        Name = $"swiglu, {name}",
        Inputs = [gate, up],
        Ours = t => [functional.swiglu(t[0], t[1])],
        Stock = t => [F.silu(t[0]) * t[1]],
        Seed = seed,
    };

    private static OpCase Packed(string name, Tensor gateUp, int seed = 1) => new()
    {
        Name = $"swiglu, packed, {name}",
        Inputs = [gateUp],
        Ours = t => [functional.swiglu(t[0])],
        Stock = t =>
        {
            var halves = t[0].chunk(2, -1);
            return [F.silu(halves[0]) * halves[1]];
        },
        Seed = seed,
    };

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void ForwardAndBackward_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(21);
        foreach (int width in (int[])[1, 3, 64, 1000, 2816, 16384])
        {
            foreach (long rows in (long[])[1, 31])
            {
                OpCheck.Run(Separate($"[{rows}, {width}]", randn([rows, width], generator: g).to(dtype), randn([rows, width], generator: g).to(dtype)));
                OpCheck.Run(Packed($"[{rows}, 2 · {width}]", randn([rows, 2 * width], generator: g).to(dtype)));
            }
        }
    }

    [Fact]
    public void AnyLayout_OfInputsAndGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(22);
        foreach (var layout in Strides.All)
        {
            OpCheck.Run(Separate(layout.Name, layout.Apply(randn([2, 9, 40], generator: g)), randn([2, 9, 40], generator: g)));
            OpCheck.Run(Packed(layout.Name, layout.Apply(randn([2, 9, 40], generator: g))) with { GradLayout = layout.Apply });
        }
        OpCheck.Run(Packed("expanded gradient", randn([6, 40], generator: g)) with { GradLayout = Strides.Expanded });
    }

    [Fact]
    public void AdversarialValues_MatchReference()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(23);
        foreach (var values in Adversarial.Finite)
        {
            OpCheck.Run(Separate(values.Name, values.Make([31, 96], g), randn([31, 96], generator: g)));
        }
        foreach (var values in Adversarial.NonFinite)
        {
            OpCheck.Run(Separate(values.Name, values.Make([31, 96], g), randn([31, 96], generator: g)) with { Differentiable = [] });
        }
    }

    [Fact]
    public void OneGradientOnly()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(24);
        var (gate, up) = (randn([5, 33], generator: g), randn([5, 33], generator: g));
        OpCheck.Run(Separate("gate only", gate, up) with { Differentiable = [true, false] });
        OpCheck.Run(Separate("up only", gate, up) with { Differentiable = [false, true] });
    }

    [Fact]
    public void Gradients_PassCentralDifferences()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(25);
        GradCheck.Run("swiglu", t => functional.swiglu(t[0], t[1]), t => F.silu(t[0]) * t[1], [randn([3, 17], generator: g), randn([3, 17], generator: g)]);
        GradCheck.Run("swiglu packed", t => functional.swiglu(t[0]), t => F.silu(t[0].chunk(2, -1)[0]) * t[0].chunk(2, -1)[1], [randn([3, 34], generator: g)]);
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        var x = randn(300, 400);
        var dy = randn(300, 200);
        Tensor[] Work()
        {
            var leaf = x.detach().requires_grad_();
            var y = functional.swiglu(leaf);
            y.backward([dy]);
            return [y.detach(), leaf.grad!];
        }
        Determinism.Check("swiglu", Work);
        Determinism.CheckThreads("swiglu", Work);
    }

    // Beyond the last cache, results are stored past it.
    [Theory]
    [InlineData(ScalarType.Float32, 1024)]
    [InlineData(ScalarType.BFloat16, 2048)]
    [InlineData(ScalarType.Float16, 2048)]
    public void LargeTensors_GiveTheBitsOfTheirParts(ScalarType dtype, int rows)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(26);
        var inputs = Array.ConvertAll(new Tensor[3], _ => randn([rows, 2880], generator: g).to(dtype));
        foreach (var width in Cpu.Available)
        {
            using var use = Cpu.Use(width);
            var whole = Run(0, rows);
            for (int part = 0; part < 4; part++)
            {
                var expected = Run(part * rows / 4, rows / 4);
                Assert.All(Enumerable.Range(0, 3), i => Assert.True(whole[i].narrow(0, part * rows / 4, rows / 4).Equals(expected[i])));
            }
        }

        Tensor[] Run(long first, long count)
        {
            var leaves = Array.ConvertAll(inputs[..2], t => t.narrow(0, first, count).detach().requires_grad_());
            var y = functional.swiglu(leaves[0], leaves[1]);
            y.backward([inputs[2].narrow(0, first, count)]);
            return [y.detach(), leaves[0].grad!, leaves[1].grad!];
        }
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        void Fails(string part, Action call) => Assert.Contains(part, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);
        Fails("up has shape [2, 3]", () => functional.swiglu(ones(2, 4), ones(2, 3)));
        Fails("up has dtype Float16", () => functional.swiglu(ones(2, 4), ones([2, 4], float16)));
        Fails("must be even", () => functional.swiglu(ones(2, 5)));
        Fails("at least 1 dimensions", () => functional.swiglu(tensor(1f)));
        Fails("gate_up has dtype Int64", () => functional.swiglu(ones(2, 4, dtype: int64)));
        Fails("gate", () => functional.swiglu(null!, ones(2)));
    }

    [Fact]
    public void EmptyAndScalarTensors()
    {
        using var scope = NewDisposeScope();
        Assert.Equal([0, 3], functional.swiglu(ones(0, 6)).shape);
        Assert.Equal([4, 0], functional.swiglu(ones(4, 0)).shape);
        Assert.Equal(0.7310586f, functional.swiglu(tensor(1f), tensor(1f)).item<float>(), 1e-6f);
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("swiglu", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 1_000_000);
        var dtype = random.Pick(float32, bfloat16, float16);
        long half = random.Chance() ? random.Next(1, 300) : random.Pick(Shapes.EdgeWidths);
        long[] lead = random.Chance() ? [random.Next(1, 40)] : [random.Next(1, 5), random.Next(1, 9)];
        var (layout, gradLayout) = (random.Pick(Strides.All), random.Pick(Strides.All));
        var c = random.Chance()
            ? Packed($"{layout}", layout.Apply(randn([.. lead, 2 * half], generator: g).to(dtype)), seed)
            : Separate($"{layout}", layout.Apply(randn([.. lead, half], generator: g).to(dtype)), randn([.. lead, half], generator: g).to(dtype), seed);
        OpCheck.Run(c with { GradLayout = gradLayout.Apply, Widths = [random.Pick(Cpu.Available)] });
    });
}
