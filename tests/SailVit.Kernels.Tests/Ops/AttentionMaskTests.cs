using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public class AttentionMaskTests
{
    // B 2, H 3, Nq 50, Nk 200: more keys than a block holds.
    private static readonly AttentionCase Base = new() { Queries = 50, Keys = 200, Heads = 3, KvHeads = 3 };

    public static TheoryData<long[]> Shapes =>
        [
            new long[] { 2, 3, 50, 200 }, new long[] { 1, 3, 50, 200 }, new long[] { 2, 1, 50, 200 }, new long[] { 50, 200 }, new long[] { 2, 1, 1, 200 },
            new long[] { 3, 50, 1 }, new long[] { 2, 3, 1, 1 }, new long[] { 200 }, new long[] { 1 },
        ];

    [Theory]
    [MemberData(nameof(Shapes))]
    public void BooleanMask_MatchesReference(long[] shape)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(5);
        var mask = rand(shape, generator: g) > 0.3;
        OpCheck.Run((Base with { Mask = mask }).WithLse());
        OpCheck.Run((Base with { Mask = mask, Causal = true }).WithLse());
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Bias_AndItsGradient_MatchReference(long[] shape)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(6);
        var bias = randn(shape, generator: g);
        OpCheck.Run((Base with { Mask = bias }).WithLse());
        OpCheck.Run((Base with { Mask = bias, Causal = true, KvHeads = 1 }).WithLse());
    }

    [Theory]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void Bias_InTheQuerysDType(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(7);
        OpCheck.Run((Base with { DType = dtype, Mask = randn([3, 50, 200], generator: g).to(dtype) }).WithLse());
    }

    [Fact]
    public void Bias_AnyLayout()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(8);
        var bias = randn([2, 3, 50, 200], generator: g);
        foreach (var layout in Strides.All)
        {
            OpCheck.Run((Base with { Mask = layout.Apply(bias) }).OutputOnly() with { Name = $"bias {layout.Name}" });
            OpCheck.Run((Base with { Mask = layout.Apply(bias > 0) }).OutputOnly() with { Name = $"mask {layout.Name}" });
        }
        var expanded = randn([3, 1, 200], generator: g).expand(2, 3, 50, 200);
        OpCheck.Run((Base with { Mask = expanded }).OutputOnly() with { Name = "expanded bias" });
    }

    [Fact]
    public void FullyMaskedRows_AreZeroWithZeroGradients()
    {
        using var scope = NewDisposeScope();
        var mask = ones(50, 200, dtype: ScalarType.Bool);
        mask[3] = false;
        mask[49] = false;
        var additive = zeros(50, 200).masked_fill(mask.logical_not(), double.NegativeInfinity);
        OpCheck.Run((Base with { Mask = mask }).WithLse());
        OpCheck.Run((Base with { Mask = additive }).WithLse() with { Differentiable = [true, true, true, false] });

        var inputs = (Base with { Mask = zeros(50, 200, dtype: ScalarType.Bool) }).Inputs();
        var leaves = Array.ConvertAll(inputs[..3], t => t!.detach().requires_grad_());
        var (output, lse) = functional.attention_with_lse(leaves[0], leaves[1], leaves[2], inputs[3]);
        (output.sum() + lse.masked_fill(lse.isinf(), 0).sum()).backward();
        Assert.True(output.eq(0).all().item<bool>());
        Assert.True(lse.eq(double.NegativeInfinity).all().item<bool>());
        Assert.All(leaves, leaf => Assert.True(leaf.grad!.eq(0).all().item<bool>()));
        // A value that nobody attends to may be anything.
        Assert.True(functional.attention(inputs[0]!, inputs[1]!, full_like(inputs[2]!, double.NaN), inputs[3]).eq(0).all().item<bool>());
    }

    [Fact]
    public void FirstBlocksMasked_MaximumArrivesLate()
    {
        using var scope = NewDisposeScope();
        foreach (int firstVisible in (int[])[1, 127, 128, 129, 191, 192, 199])
        {
            var mask = arange(200).ge(firstVisible);
            OpCheck.Run((Base with { Mask = mask }).WithLse());
        }
    }

    [Fact]
    public void LogSumExpFarBelowZero()
    {
        using var scope = NewDisposeScope();
        foreach (double offset in (double[])[-150, -89, 90, 2000])
        {
            OpCheck.Run((Base with { Mask = full([1], offset) }).OutputOnly());
        }
    }

    [Fact]
    public void LargeLogits()
    {
        using var scope = NewDisposeScope();
        foreach (int width in (int[])[32, 128])
        {
            int call = 0;
            // Queries × 5, keys × 3; values stay.
            var c = Base with { Width = width, Values = (s, g) => randn(s, generator: g) * ((call++ % 3) switch { 0 => 5, 1 => 3, _ => 1 }) };
            OpCheck.Run(c.WithLse());
            OpCheck.Run((c with { DType = ScalarType.BFloat16 }).WithLse());
        }
    }

    [Fact]
    public void AdversarialValues_MatchReference()
    {
        using var scope = NewDisposeScope();
        foreach (var values in Adversarial.Finite)
        {
            OpCheck.Run((Base with { Values = values.Make }).OutputOnly() with { Name = values.Name });
        }
    }

    [Fact]
    public void NaNAndInfinity_AppearWhereStockHasThem()
    {
        using var scope = NewDisposeScope();
        foreach (var values in Adversarial.NonFinite)
        {
            for (int which = 0; which < 3; which++)
            {
                int call = 0, target = which;
                var c = Base with { Values = (s, g) => call++ % 3 == target ? values.Make(s, g) : randn(s, generator: g) };
                OpCheck.Run(c.OutputOnly() with { Name = $"{values.Name} in input {which}" });
            }
        }
    }
}
