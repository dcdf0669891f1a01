using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public class LinearTests
{
    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void ForwardAndBackward_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(1);
        foreach (var path in LinearCases.Paths)
        {
            foreach (var (rows, depth, columns) in ((long, long, long)[])[(1, 64, 127), (3, 1, 1), (5, 17, 63), (17, 3, 65), (65, 300, 130), (127, 64, 17), (63, 1020, 5)])
            {
                OpCheck.Run(LinearCases.Linear($"[{rows}, {depth}] to {columns}", LinearCases.Inputs([rows], depth, columns, dtype, g), path));
            }
        }
    }

    [Fact]
    public void SizesOfTheEncoder_MatchReference()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(2);
        OpCheck.Run(LinearCases.Linear("1020 to 3072", LinearCases.Inputs([1, 97], 1020, 3072, float32, g), LinearPath.Own) with { Widths = [Cpu.Widest] });
        OpCheck.Run(LinearCases.Linear("2816 to 1024", LinearCases.Inputs([1, 97], 2816, 1024, float32, g), LinearPath.Own) with { Widths = [Cpu.Widest] });
    }

    [Theory]
    [InlineData(Activation.None)]
    [InlineData(Activation.Gelu)]
    [InlineData(Activation.GeluTanh)]
    [InlineData(Activation.Silu)]
    public void FusedActivationAndResidual_MatchReference(Activation activation)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(3);
        foreach (var dtype in LinearCases.DTypes)
        {
            foreach (var path in LinearCases.Paths)
            {
                foreach (bool residual in (bool[])[false, true])
                {
                    var inputs = LinearCases.Inputs([3, 13], 70, 100, dtype, g, bias: residual, residual: residual);
                    OpCheck.Run(LinearCases.Linear($"{dtype}, residual {residual}", inputs, path, activation));
                }
            }
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void SwiGlu_MatchesReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(4);
        foreach (var path in LinearCases.Paths)
        {
            foreach (var (rows, depth, columns) in ((long, long, long)[])[(1, 5, 3), (31, 64, 64), (65, 127, 130)])
            {
                OpCheck.Run(LinearCases.SwiGlu($"[{rows}, {depth}] to {columns}", LinearCases.SwiGluInputs([rows], depth, columns, dtype, g), path));
                OpCheck.Run(LinearCases.SwiGlu("no bias", LinearCases.SwiGluInputs([rows], depth, columns, dtype, g, bias: false), path));
            }
        }
    }

    [Fact]
    public void AnyLayout_OfInputsAndGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(5);
        foreach (var path in LinearCases.Paths)
        {
            foreach (var layout in Strides.All)
            {
                var inputs = LinearCases.Inputs([2, 9], 40, 33, float32, g, residual: true);
                OpCheck.Run(LinearCases.Linear($"inputs {layout}", Array.ConvertAll(inputs, t => layout.Apply(t!)), path));
                OpCheck.Run(LinearCases.Linear($"gradient {layout}", inputs, path, Activation.Gelu) with { GradLayout = layout.Apply });
                OpCheck.Run(LinearCases.Linear($"gradient {layout}", inputs, path) with { GradLayout = layout.Apply });
                var pair = LinearCases.SwiGluInputs([2, 9], 40, 33, bfloat16, g);
                OpCheck.Run(LinearCases.SwiGlu($"inputs {layout}", Array.ConvertAll(pair, t => layout.Apply(t!)), path) with { GradLayout = layout.Apply });
            }
            OpCheck.Run(LinearCases.Linear("expanded gradient", LinearCases.Inputs([2, 9], 40, 33, float32, g), path) with { GradLayout = Strides.Expanded });
        }
    }

    [Fact]
    public void RowsThatNoStrideReaches_AreReadInPlace()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(6);
        var x = randn([5, 3, 24], generator: g).transpose(0, 1);
        var residual = randn([5, 3, 40], generator: g).transpose(0, 1);
        var inputs = LinearCases.Inputs([3, 5], 24, 40, float32, g);
        OpCheck.Run(LinearCases.Linear("transposed batch", [x, inputs[1], inputs[2], residual], LinearPath.Own, Activation.Silu) with
        {
            GradLayout = t => t.transpose(0, 1).contiguous().transpose(0, 1),
        });
    }

    [Fact]
    public void AnyRank_OfInput()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(7);
        foreach (long[] rows in (long[][])[[], [1], [2, 3, 4, 5]])
        {
            OpCheck.Run(LinearCases.Linear($"rank {rows.Length + 1}", LinearCases.Inputs(rows, 20, 7, float32, g, residual: true), LinearPath.Own));
        }
    }

    [Fact]
    public void EmptySizes_GiveWhatTorchGives()
    {
        using var scope = NewDisposeScope();
        foreach (var (rows, depth, columns) in ((long, long, long)[])[(0, 8, 4), (3, 0, 4), (3, 8, 0)])
        {
            using var g = new Generator(8);
            OpCheck.Run(LinearCases.Linear($"[{rows}, {depth}] to {columns}", LinearCases.Inputs([rows], depth, columns, float32, g), LinearPath.Own));
        }
    }

    [Fact]
    public void AdversarialValues_MatchReference()
    {
        using var scope = NewDisposeScope();
        foreach (var values in Adversarial.Finite)
        {
            using var g = new Generator(9);
            foreach (var activation in Enum.GetValues<Activation>())
            {
                Tensor?[] inputs = [values.Make([31, 96], g), LinearCases.Weight(40, 96, float32, g), null, null];
                OpCheck.Run(LinearCases.Linear(values.Name, inputs, LinearPath.Own, activation));
            }
        }
    }

    [Fact]
    public void NaNAndInfinity_AppearWhereStockHasThem()
    {
        using var scope = NewDisposeScope();
        foreach (var values in Adversarial.NonFinite)
        {
            using var g = new Generator(10);
            Tensor?[] inputs = [values.Make([5, 40], g), LinearCases.Weight(70, 40, float32, g), null, null];
            OpCheck.Run(LinearCases.Linear(values.Name, inputs, LinearPath.Own) with { Differentiable = [] });
            Tensor?[] weights = [randn([5, 40], generator: g), values.Make([70, 40], g), null, null];
            OpCheck.Run(LinearCases.Linear($"{values.Name} in the weight", weights, LinearPath.Own) with { Differentiable = [] });
        }
    }

    [Theory]
    [InlineData(Activation.None)]
    [InlineData(Activation.Gelu)]
    [InlineData(Activation.GeluTanh)]
    [InlineData(Activation.Silu)]
    public void Gradients_PassCentralDifferences(Activation activation)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(11);
        Tensor[] inputs = [.. LinearCases.Inputs([3], 17, 9, float32, g, residual: true).OfType<Tensor>()];
        var linear = LinearCases.Linear("central differences", inputs, LinearPath.Own, activation);
        GradCheck.Run(linear.Name, t => linear.Ours(t)[0], t => linear.Stock(t)[0], inputs);
    }

    [Fact]
    public void GradientsOfSwiGlu_PassCentralDifferences()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(12);
        Tensor[] inputs = [.. LinearCases.SwiGluInputs([3], 17, 9, float32, g).OfType<Tensor>()];
        var swiglu = LinearCases.SwiGlu("central differences", inputs, LinearPath.Own);
        GradCheck.Run(swiglu.Name, t => swiglu.Ours(t)[0], t => swiglu.Stock(t)[0], inputs);
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        using var forced = LinearDispatch.Use(LinearPath.Own);
        using var g = new Generator(13);
        var inputs = LinearCases.Inputs([200], 300, 130, float32, g, residual: true);
        var dy = randn([200, 130], generator: g);
        Tensor[] Work()
        {
            var leaves = Array.ConvertAll(inputs, t => t!.detach().requires_grad_());
            var y = functional.linear(leaves[0], leaves[1], leaves[2], Activation.Gelu, leaves[3]);
            y.backward([dy]);
            return [y.detach(), .. leaves.Select(l => l.grad!)];
        }
        Determinism.Check("linear", Work);
        Determinism.CheckThreads("linear", Work);
    }

    [Fact]
    public void OnlyWantedGradients_AreComputed()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(14);
        var inputs = LinearCases.Inputs([6], 20, 30, float32, g, residual: true);
        for (int wanted = 0; wanted < inputs.Length; wanted++)
        {
            OpCheck.Run(LinearCases.Linear($"gradient of input {wanted} only", inputs, LinearPath.Own, Activation.Silu) with
            {
                Differentiable = [.. Enumerable.Range(0, inputs.Length).Select(i => i == wanted)],
            });
        }
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        Tensor x = randn(2, 8), w = randn(4, 8);
        void Fails<E>(string part, Action call) where E : Exception => Assert.Contains(part, Assert.ThrowsAny<E>(call).Message, StringComparison.Ordinal);
        Fails<ArgumentNullException>("input", () => functional.linear(null!, w));
        Fails<ArgumentNullException>("weight", () => functional.linear(x, (Tensor)null!));
        Fails<ArgumentNullException>("weight", () => functional.linear(x, (PackedWeight)null!));
        Fails<ArgumentException>("weight has shape [4, 7]", () => functional.linear(x, randn(4, 7)));
        Fails<ArgumentException>("weight has shape [8]", () => functional.linear(x, randn(8)));
        Fails<ArgumentException>("input has shape []", () => functional.linear(tensor(1f), w));
        Fails<ArgumentException>("weight has dtype BFloat16", () => functional.linear(x, w.to(bfloat16)));
        Fails<ArgumentException>("input has dtype Int64", () => functional.linear(x.to(int64), w));
        Fails<ArgumentException>("bias has shape [5]", () => functional.linear(x, w, randn(5)));
        Fails<ArgumentException>("bias has dtype Float16", () => functional.linear(x, w, randn(4).to(float16)));
        Fails<ArgumentException>("residual has shape [4]", () => functional.linear(x, w, null, Activation.None, randn(4)));
        Fails<ArgumentException>("activation is 9", () => functional.linear(x, w, null, (Activation)9));
        Fails<ArgumentException>("up_weight has shape [5, 8]", () => functional.linear_swiglu(x, w, randn(5, 8)));
        Fails<ArgumentException>("up_bias has shape [5]", () => functional.linear_swiglu(x, w, w, null, randn(5)));
        var disposed = randn(4, 8);
        disposed.Dispose();
        Fails<ObjectDisposedException>("weight", () => functional.linear(x, disposed));
    }

    [Fact]
    public void NoFeatures_HaveEmptyOrZeroGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(4);
        foreach (var path in LinearCases.Paths)
        {
            foreach (var (depth, columns) in ((long, long)[])[(0, 5), (5, 0), (0, 0)])
            {
                OpCheck.Run(LinearCases.Linear("no features", LinearCases.Inputs([3, 2], depth, columns, float32, g, residual: true), path));
                OpCheck.Run(LinearCases.SwiGlu("no features", LinearCases.SwiGluInputs([4], depth, columns, float32, g), path));
            }
        }
    }

    [Fact]
    public void BiasGradient_OfSmallRowsBesideALargeOne_CountsThemAll()
    {
        using var scope = NewDisposeScope();
        var (x, w, bias) = (randn(9, 4), randn(3, 4), zeros(3).requires_grad_());
        var dy = tensor(new float[] { 3e7f, 1, 1, 1, 1, 1, 1, 1, 1 }).unsqueeze(-1).expand(9, 3);
        functional.linear(x, w, bias).backward([dy]);
        Assert.Equal(3e7f + 8, bias.grad![0].item<float>());
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("linear", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        // The incoming gradients are seeded with the seed itself.
        using var g = new Generator((ulong)seed + 1_000_000);
        var dtype = random.Pick(LinearCases.DTypes);
        var path = random.Pick(LinearCases.Paths);
        long[] rows = random.Chance() ? [random.Next(1, 90)] : [random.Next(1, 5), random.Next(1, 20)];
        long depth = random.Chance() ? random.Next(1, 300) : random.Pick(Shapes.EdgeWidths);
        long columns = random.Chance() ? random.Next(1, 200) : random.Pick(Shapes.EdgeWidths);
        var (layout, gradLayout) = (random.Pick(Strides.All), random.Pick(Strides.All));
        var name = $"[{string.Join(", ", rows)}, {depth}] to {columns}, {dtype}, {layout}, gradient {gradLayout}";
        bool pair = random.Chance(0.3);
        var inputs = pair
            ? LinearCases.SwiGluInputs(rows, depth, columns, dtype, g, random.Chance())
            : LinearCases.Inputs(rows, depth, columns, dtype, g, random.Chance(), random.Chance());
        inputs = Array.ConvertAll(inputs, t => t is null ? null : layout.Apply(t));
        var c = pair
            ? LinearCases.SwiGlu(name, inputs, path, seed)
            : LinearCases.Linear(name, inputs, path, random.Pick(Enum.GetValues<Activation>()), seed);
        OpCheck.Run(c with { GradLayout = gradLayout.Apply, Widths = [random.Pick(Cpu.Available)] });
    });
}
