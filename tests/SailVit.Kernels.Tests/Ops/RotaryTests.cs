using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public class RotaryTests
{
    private static (Tensor Cos, Tensor Sin) Table(long positions, long half)
    {
        var angle = outer(arange(positions, dtype: float32), pow(100.0, -arange(half, dtype: float32) / Math.Max(half, 1)));
        return (angle.cos(), angle.sin());
    }

    private static Tensor Positions(long tokens, long rows, Generator g) => randint(0, rows, [tokens], dtype: ScalarType.Int64, generator: g);

    private static Tensor Stock(Tensor x, Tensor cos, Tensor sin, Tensor positions)
    {
        long half = x.shape[2] / 2;
        var c = cos.index_select(0, positions).unsqueeze(1).to(x.dtype);
        var s = sin.index_select(0, positions).unsqueeze(1).to(x.dtype);
        var (a, b) = (x.narrow(2, 0, half), x.narrow(2, half, half));
        return cat([(a * c) - (b * s), (b * c) + (a * s)], 2);
    }

    private static OpCase Case(string name, Tensor x, Tensor cos, Tensor sin, Tensor positions, int seed = 1) => new()
    {
        Name = $"rotary_embedding, {name}",
        Inputs = [x, cos, sin, positions],
        Ours = t => [functional.rotary_embedding(t[0], t[1], t[2], t[3])],
        Stock = t => [Stock(t[0], t[1], t[2], t[3])],
        Differentiable = [true, false, false, false],
        Seed = seed,
    };

    private static OpCase Case(string name, Tensor x, Generator g, int seed = 1)
    {
        var (cos, sin) = Table(29, x.shape[2] / 2);
        return Case(name, x, cos, sin, Positions(x.shape[0], 29, g), seed);
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void ForwardAndBackward_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(31);
        foreach (long width in (long[])[2, 6, 32, 64, 80, 128, 130])
        {
            foreach (var (tokens, heads) in ((long, long)[])[(1, 1), (17, 3), (64, 8)])
            {
                OpCheck.Run(Case($"[{tokens}, {heads}, {width}]", randn([tokens, heads, width], generator: g).to(dtype), g));
            }
        }
    }

    [Fact]
    public void AnyLayout_OfInputsTablesAndGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(32);
        foreach (var layout in Strides.All)
        {
            OpCheck.Run(Case(layout.Name, layout.Apply(randn([9, 4, 40], generator: g)), g) with { GradLayout = layout.Apply });
        }
        OpCheck.Run(Case("expanded gradient", randn([9, 4, 40], generator: g), g) with { GradLayout = Strides.Expanded });
        var (cos, sin) = Table(29, 40);
        OpCheck.Run(Case("tables with gaps, positions in steps", randn([9, 2, 40], generator: g), cos.narrow(1, 3, 20), sin.narrow(1, 3, 20), Positions(27, 29, g).slice(0, 0, 27, 3)));
        // The keys of a packed projection.
        OpCheck.Run(Case("keys in a packed projection", randn([9, 3, 2, 16], generator: g).select(1, 1), g));
    }

    [Fact]
    public void AdversarialValues_MatchReference()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(33);
        foreach (var values in Adversarial.Finite)
        {
            OpCheck.Run(Case(values.Name, values.Make([7, 3, 96], g), g));
        }
        foreach (var values in Adversarial.NonFinite)
        {
            OpCheck.Run(Case(values.Name, values.Make([7, 3, 96], g), g) with { Differentiable = [] });
        }
    }

    [Fact]
    public void Turning_KeepsLengthsAndDependsOnDistanceOnly()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(34);
        var (cos, sin) = Table(64, 16);
        var (q, k) = (randn([1, 1, 32], generator: g), randn([1, 1, 32], generator: g));
        Tensor At(Tensor x, long position) => functional.rotary_embedding(x, cos, sin, tensor([position])).flatten();
        Assert.Equal(q.norm().item<float>(), At(q, 41).norm().item<float>(), 1e-5f);
        double near = At(q, 5).dot(At(k, 2)).item<float>(), far = At(q, 60).dot(At(k, 57)).item<float>();
        Assert.Equal(near, far, 1e-4);
        Assert.True(Bits.FirstDifference(q.flatten(), At(q, 0)) is null);
    }

    [Fact]
    public void Gradients_PassCentralDifferences()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(35);
        var (cos, sin) = Table(29, 5);
        var positions = Positions(4, 29, g);
        GradCheck.Run("rotary_embedding", t => functional.rotary_embedding(t[0], cos, sin, positions), t => Stock(t[0], cos.to(float64), sin.to(float64), positions), [randn([4, 2, 10], generator: g)]);
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(36);
        var (x, dy) = (randn(300, 4, 64), randn(300, 4, 64));
        var (cos, sin) = Table(29, 32);
        var positions = Positions(300, 29, g);
        Tensor[] Work()
        {
            var leaf = x.detach().requires_grad_();
            var y = functional.rotary_embedding(leaf, cos, sin, positions);
            y.backward([dy]);
            return [y.detach(), leaf.grad!];
        }
        Determinism.Check("rotary_embedding", Work);
        Determinism.CheckThreads("rotary_embedding", Work);
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        var (cos, sin) = Table(4, 4);
        var x = ones(2, 1, 8);
        var positions = tensor([0L, 3L]);
        void Fails(string part, Action call) => Assert.Contains(part, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);
        Fails("x has shape [2, 8]", () => functional.rotary_embedding(ones(2, 8), cos, sin, positions));
        Fails("must be even", () => functional.rotary_embedding(ones(2, 1, 7), cos, sin, positions));
        Fails("cos has shape [4, 4]; it must be [4, 3]", () => functional.rotary_embedding(ones(2, 1, 6), cos, sin, positions));
        Fails("sin has shape [3, 4]; it must be [4, 4]", () => functional.rotary_embedding(x, cos, sin.narrow(0, 0, 3), positions));
        Fails("cos has dtype BFloat16", () => functional.rotary_embedding(x, cos.to(bfloat16), sin, positions));
        Fails("positions has shape [3]; it must be [2]", () => functional.rotary_embedding(x, cos, sin, tensor([0L, 1L, 2L])));
        Fails("positions has dtype Int32", () => functional.rotary_embedding(x, cos, sin, positions.to(int32)));
        Fails("positions holds 4 at entry 1", () => functional.rotary_embedding(x, cos, sin, tensor([0L, 4L])));
        Fails("positions holds -1 at entry 0", () => functional.rotary_embedding(x, cos, sin, tensor([-1L, 0L])));
        Assert.Equal([0, 1, 8], functional.rotary_embedding(ones(0, 1, 8), cos, sin, zeros(0, dtype: int64)).shape);
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("rotary_embedding", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 7_000_000);
        var dtype = random.Pick(float32, bfloat16, float16);
        long[] shape = [random.Next(1, 60), random.Next(1, 9), 2 * random.Next(1, 80)];
        var (layout, gradLayout) = (random.Pick(Strides.All), random.Pick(Strides.All));
        OpCheck.Run(Case($"{layout}", layout.Apply(randn(shape, generator: g).to(dtype)), g, seed) with { GradLayout = gradLayout.Apply, Widths = [random.Pick(Cpu.Available)] });
    });
}
