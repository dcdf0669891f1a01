using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>What LayerNorm and RMSNorm share; their own properties are in LayerNormTests and RmsNormTests.</summary>
public abstract class NormTests
{
    private protected abstract NormKindUnderTest Kind { get; }

    public static TheoryData<long, ScalarType> WidthsAndTypes
    {
        get
        {
            var data = new TheoryData<long, ScalarType>();
            foreach (long width in (long[])[1, 3, 64, 96, 1000, 1024, 1152, 3072, 16384])
            {
                data.Add(width, float32);
                data.Add(width, bfloat16);
                data.Add(width, float16);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(WidthsAndTypes))]
    public void ForwardAndBackward_MatchReference(long width, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(7);
        foreach (long rows in (long[])[1, 31, 199])
        {
            var x = randn([rows, width], generator: g).to(dtype);
            OpCheck.Run(Kind.Case($"[{rows}, {width}] {dtype}", Kind.Inputs(x, [width], g), [width]));
        }
    }

    [Fact]
    public void EdgeWidths_MatchReference()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(8);
        foreach (int width in Shapes.EdgeWidths)
        {
            var x = randn([7, 9, width], generator: g);
            OpCheck.Run(Kind.Case($"width {width}, not affine", Kind.Inputs(x, [width], g, affine: false), [width]));
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32, ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16, ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16, ScalarType.Float16)]
    [InlineData(ScalarType.BFloat16, ScalarType.Float32)]
    public void ResidualAdd_MatchesReference(ScalarType dtype, ScalarType residualType)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(9);
        foreach (long width in (long[])[3, 96, 1000])
        {
            var x = randn([5, 7, width], generator: g).to(dtype);
            var residual = (2 * randn([5, 7, width], generator: g)).to(residualType);
            OpCheck.Run(Kind.Case($"residual {residualType}, width {width}", Kind.Inputs(x, [width], g, residual: residual), [width]));
        }
    }

    [Fact]
    public void ResidualAdd_OnlyOneOutputUsed()
    {
        using var scope = NewDisposeScope();
        foreach (int used in (int[])[0, 1])
        {
            using var g = new Generator(10);
            var inputs = Kind.Inputs(randn([4, 96], generator: g), [96], g, residual: randn([4, 96], generator: g));
            OpCheck.Run(Kind.Case($"output {used} of the fused add", inputs, [96]) with
            {
                Ours = t => [Kind.Ours(t, [96])[used]],
                Stock = t => [Kind.Stock(t, [96])[used]],
                Differentiable = used == 0 ? null : [true, false, false, true],
            });
        }
    }

    [Fact]
    public void SeveralTrailingDimensions_MatchReference()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(11);
        foreach (long[] trailing in (long[][])[[6], [5, 6], [4, 5, 6]])
        {
            var x = randn([3, 4, 5, 6], generator: g);
            OpCheck.Run(Kind.Case($"normalized_shape of {trailing.Length}", Kind.Inputs(x, trailing, g), trailing));
        }
    }

    [Fact]
    public void AnyLayout_OfInputsAndGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(12);
        foreach (var layout in Strides.All)
        {
            var x = layout.Apply(randn([2, 9, 40], generator: g));
            var residual = layout.Apply(randn([2, 9, 40], generator: g));
            var inputs = Kind.Inputs(x, [40], g, residual: residual);
            OpCheck.Run(Kind.Case(layout.Name, inputs, [40]));
            OpCheck.Run(Kind.Case($"gradient {layout.Name}", inputs, [40]) with { GradLayout = layout.Apply });
        }
        var plain = Kind.Inputs(randn([2, 9, 40], generator: g), [40], g);
        OpCheck.Run(Kind.Case("expanded gradient", plain, [40]) with { GradLayout = Strides.Expanded });
    }

    [Fact]
    public void ExpandedInput_IsReadByStrideZero()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(13);
        var x = Strides.Expanded(randn([6, 64], generator: g));
        OpCheck.Run(Kind.Case("expanded rows", Kind.Inputs(x, [64], g), [64]) with { Differentiable = [false, true, Kind.Centers, false] });
    }

    [Fact]
    public void AdversarialValues_MatchReference()
    {
        using var scope = NewDisposeScope();
        foreach (var values in Adversarial.Finite)
        {
            using var g = new Generator(14);
            var x = values.Make([31, 384], g);
            OpCheck.Run(Kind.Case(values.Name, Kind.Inputs(x, [384], g), [384]));
            var half = (x.abs().max().item<float>() > 60000 ? x / 1e3 : x).to(float16);
            OpCheck.Run(Kind.Case($"{values.Name}, float16", Kind.Inputs(half, [384], g), [384]));
        }
    }

    [Fact]
    public void NaNAndInfinity_AppearWhereStockHasThem()
    {
        using var scope = NewDisposeScope();
        foreach (var values in Adversarial.NonFinite)
        {
            using var g = new Generator(15);
            OpCheck.Run(Kind.Case(values.Name, Kind.Inputs(values.Make([5, 40], g), [40], g), [40]) with { Differentiable = [] });
        }
    }

    [Fact]
    public void Gradients_PassCentralDifferences()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(16);
        Tensor[] inputs = [.. Kind.Inputs(randn([3, 17], generator: g), [17], g).OfType<Tensor>()];
        Tensor[] Full(Tensor[] t) => [t[0], t[1], Kind.Centers ? t[2] : null!, null!];
        GradCheck.Run(Kind.Name, t => Kind.Ours(Full(t), [17])[0], t => Kind.Stock(Full(t), [17])[0], inputs);
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(17);
        var inputs = Kind.Inputs(randn([300, 200], generator: g), [200], g, residual: randn([300, 200], generator: g));
        var grads = new[] { randn([300, 200], generator: g), randn([300, 200], generator: g) };
        Tensor[] Work()
        {
            var leaves = Array.ConvertAll(inputs, t => t?.detach().requires_grad_());
            var outputs = Kind.Ours(leaves!, [200]);
            autograd.backward(outputs, grads);
            return [.. outputs.Select(o => o.detach()), .. leaves.OfType<Tensor>().Select(l => l.grad!)];
        }
        Determinism.Check(Kind.Name, Work);
        Determinism.CheckThreads(Kind.Name, Work);
    }

    [Fact]
    public void EmptyTensors_GiveEmptyResultsAndZeroParameterGradients()
    {
        using var scope = NewDisposeScope();
        var x = zeros(0, 8).requires_grad_();
        var weight = ones(8).requires_grad_();
        var y = Kind.Ours([x, weight, null!, null!], [8])[0];
        Assert.Equal([0, 8], y.shape);
        y.sum().backward();
        Assert.Equal(0f, weight.grad!.abs().sum().item<float>());
        Assert.Equal([4, 0], Kind.Ours([zeros(4, 0), null!, null!, null!], [0])[0].shape);
    }

    [Fact]
    public void Float32Weights_BesideHalfInput()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(18);
        var x = randn([4, 100], generator: g).to(bfloat16);
        var inputs = Kind.Inputs(x, [100], g);
        inputs[1] = inputs[1]!.to(float32);
        inputs[2] = inputs[2]?.to(float32);
        OpCheck.Run(Kind.Case("float32 weights", inputs, [100]) with
        {
            Stock = t => t[0].dtype == float64
                ? Kind.Stock(t, [100])
                : [Kind.Stock([t[0].to(float32), t[1], t[2], t[3]], [100])[0].to(bfloat16)],
        });
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        var x = randn(2, 8);
        void Fails<E>(string part, Action call) where E : Exception => Assert.Contains(part, Assert.ThrowsAny<E>(call).Message, StringComparison.Ordinal);
        Fails<ArgumentNullException>("input", () => Run(null!, [8]));
        Fails<ArgumentNullException>("normalized_shape", () => Run(x, null!));
        Fails<ArgumentException>("last dimensions", () => Run(x, []));
        Fails<ArgumentException>("[2, 8]", () => Run(x, [7]));
        Fails<ArgumentException>("last dimensions", () => Run(x, [1, 2, 8]));
        Fails<ArgumentException>("weight has shape [7]", () => Run(x, [8], ones(7)));
        Fails<ArgumentException>("weight has dtype Float16", () => Run(x, [8], ones(8, float16)));
        Fails<ArgumentException>("Int64", () => Run(ones(2, 8, dtype: int64), [8]));
        Fails<ArgumentException>("eps is -1", () => Run(x, [8], eps: -1));
        Fails<ArgumentException>("eps is NaN", () => Run(x, [8], eps: double.NaN));
        Fails<ArgumentException>("residual has shape [8]", () => Kind.Ours([x, null!, null!, ones(8)], [8]));
        Fails<ArgumentException>("meta", () => Run(empty([2, 8], device: META), [8]));
    }

    private Tensor Run(Tensor x, long[] shape, Tensor? weight = null, double eps = 1e-5) =>
        Kind.Centers ? functional.layer_norm(x, shape, weight, null, eps) : functional.rms_norm(x, shape, weight, eps);

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run(Kind.Name, (random, seed) =>
    {
        using var scope = NewDisposeScope();
        // The incoming gradients are seeded with the seed itself; equal values would make the gradient vanish.
        using var g = new Generator((ulong)seed + 1_000_000);
        var dtype = random.Pick(float32, bfloat16, float16);
        long width = random.Chance() ? random.Next(1, 300) : random.Pick(Shapes.EdgeWidths);
        long[] shape = random.Chance() ? [random.Next(1, 60), width] : [random.Next(1, 5), random.Next(1, 9), width];
        var layout = random.Pick(Strides.All);
        var x = layout.Apply(randn(shape, generator: g).to(dtype));
        var residual = random.Chance() ? random.Pick(Strides.All).Apply(randn(shape, generator: g).to(dtype)) : null;
        var inputs = Kind.Inputs(x, [width], g, affine: random.Chance(0.8), residual);
        var gradLayout = random.Pick(Strides.All);
        OpCheck.Run(Kind.Case($"[{string.Join(", ", shape)}] {dtype} {layout}, gradient {gradLayout}", inputs, [width], seed) with
        {
            GradLayout = gradLayout.Apply,
            Widths = [random.Pick(Cpu.Available)],
        });
    });
}

public class LayerNormTests : NormTests
{
    private protected override NormKindUnderTest Kind => NormKindUnderTest.Layer;

    [Fact]
    public void Shift_ChangesNothing()
    {
        using var scope = NewDisposeScope();
        // Multiples of 1/8 below 2^10: the shifted values are exact in float32.
        var x = randint(-64, 64, [7, 96]).to(float32) / 8;
        var y = functional.layer_norm(x, [96]);
        Assert.True(functional.layer_norm(x + 512, [96]).allclose(y, rtol: 0, atol: 1e-6));
    }
}

public class RmsNormTests : NormTests
{
    private protected override NormKindUnderTest Kind => NormKindUnderTest.Rms;

    [Fact]
    public void Scale_ByAPowerOfTwo_ChangesNothing()
    {
        using var scope = NewDisposeScope();
        var x = randn(7, 96);
        Assert.True(Bits.Same(functional.rms_norm(x * 1024, [96], eps: 0), functional.rms_norm(x, [96], eps: 0)));
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1.1920928955078125e-07)]
    [InlineData(ScalarType.BFloat16, 0.0078125)]
    [InlineData(ScalarType.Float16, 0.0009765625)]
    public void Eps_DefaultsToTheSpacingAtOne(ScalarType dtype, double eps)
    {
        using var scope = NewDisposeScope();
        var x = (1e-2 * randn(3, 40)).to(dtype);
        Assert.True(Bits.Same(functional.rms_norm(x, [40]), functional.rms_norm(x, [40], eps: eps)));
    }
}
