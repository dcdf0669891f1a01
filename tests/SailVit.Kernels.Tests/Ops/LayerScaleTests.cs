using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public class LayerScaleTests
{
    // Float32 in between, as ours: the 16-bit composition rounds twice.
    private static Tensor Stock(Tensor[] t)
    {
        var wide = t[0].dtype == float64 ? float64 : float32;
        var branch = t[2] is null ? t[1].to(wide) : t[1].to(wide) * t[2].to(wide);
        return (t[0].to(wide) + branch).to(t[0].dtype);
    }

    private static OpCase Case(string name, Tensor residual, Tensor branch, Tensor? gamma, int seed = 1) => new()
    {
        Name = $"layer_scale_add, {name}",
        Inputs = [residual, branch, gamma],
        Ours = t => [functional.layer_scale_add(t[0], t[1], t[2])],
        Stock = t => [Stock(t)],
        Seed = seed,
    };

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void ForwardAndBackward_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(41);
        foreach (int width in (int[])[1, 3, 50, 64, 1000, 3072])
        {
            foreach (long rows in (long[])[1, 31, 199])
            {
                Tensor Make() => randn([rows, width], generator: g).to(dtype);
                OpCheck.Run(Case($"[{rows}, {width}]", Make(), Make(), randn([width], generator: g).to(dtype)));
            }
            OpCheck.Run(Case($"no gamma, {width}", randn([31, width], generator: g).to(dtype), randn([31, width], generator: g).to(dtype), null));
        }
        OpCheck.Run(Case("float32 gamma", randn([31, 96], generator: g).to(dtype), randn([31, 96], generator: g).to(dtype), randn([96], generator: g)));
    }

    [Fact]
    public void AnyLayout_OfInputsAndGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(42);
        foreach (var layout in Strides.All)
        {
            var (residual, branch, gamma) = (randn([2, 9, 40], generator: g), randn([2, 9, 40], generator: g), randn([40], generator: g));
            OpCheck.Run(Case(layout.Name, layout.Apply(residual), layout.Apply(branch), layout.Apply(gamma)) with { GradLayout = layout.Apply });
        }
        OpCheck.Run(Case("expanded gradient", randn([6, 40], generator: g), randn([6, 40], generator: g), randn([40], generator: g)) with { GradLayout = Strides.Expanded });
    }

    [Fact]
    public void Gradients_AreGivenWhereWanted()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(43);
        foreach (bool[] wanted in (bool[][])[[true, false, false], [false, true, false], [false, false, true], [true, true, false]])
        {
            OpCheck.Run(Case(string.Join(", ", wanted), randn([5, 33], generator: g), randn([5, 33], generator: g), randn([33], generator: g)) with { Differentiable = wanted });
        }
        GradCheck.Run("layer_scale_add", t => functional.layer_scale_add(t[0], t[1], t[2]), Stock, [randn([3, 17], generator: g), randn([3, 17], generator: g), randn([17], generator: g)]);
    }

    [Theory]
    [InlineData(0.25)]
    [InlineData(1.0)]
    public void DropPath_DropsWholeSamplesForwardAndBackward(double p)
    {
        using var scope = NewDisposeScope();
        manual_seed(5);
        var residual = randn(64, 3, 20);
        var branch = randn(64, 3, 20).requires_grad_();
        var gamma = randn(20).requires_grad_();
        var y = functional.layer_scale_add(residual, branch, gamma, p, training: true);
        var kept = (y != residual).reshape(64, -1).any(1);
        int count = kept.sum().ToInt32();
        Assert.InRange(count, p == 1 ? 0 : 36, p == 1 ? 0 : 60);

        var scale = kept.to(float32).reshape(64, 1, 1) * (float)(p == 1 ? 0 : 1 / (1 - p));
        Assert.True(y.allclose(residual + scale * gamma * branch, rtol: 1e-6, atol: 1e-6));
        y.sum().backward();
        Assert.True(branch.grad!.allclose((scale * gamma).expand(64, 3, 20), rtol: 1e-6, atol: 1e-7));
        Assert.True(gamma.grad!.allclose((scale * branch).sum([0, 1]), rtol: 1e-5, atol: 1e-4));
    }

    [Fact]
    public void DropPath_FollowsTorchsSeed_AndRestsInEvaluation()
    {
        using var scope = NewDisposeScope();
        var (residual, branch) = (randn(64, 20), randn(64, 20));
        Tensor Drop()
        {
            manual_seed(7);
            return functional.layer_scale_add(residual, branch, null, 0.5, training: true);
        }
        Assert.True(Bits.Same(Drop(), Drop()));
        Assert.True(Bits.Same(functional.layer_scale_add(residual, branch, null, 0.5), residual + branch));
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        var (residual, branch, gamma, dy) = (randn(300, 200), randn(300, 200), randn(200), randn(300, 200));
        Tensor[] Work()
        {
            Tensor[] leaves = [residual.detach().requires_grad_(), branch.detach().requires_grad_(), gamma.detach().requires_grad_()];
            var y = functional.layer_scale_add(leaves[0], leaves[1], leaves[2]);
            y.backward([dy]);
            return [y.detach(), .. leaves.Select(l => l.grad!)];
        }
        Determinism.Check("layer_scale_add", Work);
        Determinism.CheckThreads("layer_scale_add", Work);
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        void Fails(string part, Action call) => Assert.Contains(part, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);
        Fails("branch has shape [2, 3]", () => functional.layer_scale_add(ones(2, 4), ones(2, 3)));
        Fails("branch has dtype Float16", () => functional.layer_scale_add(ones(2, 4), ones([2, 4], float16)));
        Fails("gamma has shape [3]", () => functional.layer_scale_add(ones(2, 4), ones(2, 4), ones(3)));
        Fails("drop_path is 1.5", () => functional.layer_scale_add(ones(2, 4), ones(2, 4), null, 1.5));
        Fails("drop_path is NaN", () => functional.layer_scale_add(ones(2, 4), ones(2, 4), null, double.NaN));
        Fails("residual", () => functional.layer_scale_add(null!, ones(2)));
        Assert.Equal([0, 4], functional.layer_scale_add(ones(0, 4), ones(0, 4), ones(4), 0.5, training: true).shape);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void BranchIsKeptOnlyForTheGradientOfGamma(bool gammaWanted)
    {
        using var scope = NewDisposeScope();
        var x = ones(2, 4).requires_grad_();
        var branch = x * 3;
        var gamma = full(4, 2f).requires_grad_(gammaWanted);
        var y = functional.layer_scale_add(x, branch, gamma).sum();
        // libtorch refuses backward where something kept was changed.
        branch.zero_();
        var failure = Record.Exception(() => y.backward());
        Assert.Equal(gammaWanted, failure is not null);
        if (!gammaWanted)
        {
            Assert.True(x.grad!.allclose(full(2, 4, 7f)));
        }
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("layer_scale_add", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 1_000_000);
        var dtype = random.Pick(float32, bfloat16, float16);
        long[] shape = [random.Next(1, 6), random.Next(1, 9), random.Next(1, 300)];
        Tensor Make() => random.Pick(Strides.All).Apply(randn(shape, generator: g).to(dtype));
        OpCheck.Run(Case($"[{string.Join(", ", shape)}]", Make(), Make(), random.Chance(0.8) ? randn([shape[^1]], generator: g).to(dtype) : null, seed) with
        {
            GradLayout = random.Pick(Strides.All).Apply,
            Widths = [random.Pick(Cpu.Available)],
        });
    });
}
