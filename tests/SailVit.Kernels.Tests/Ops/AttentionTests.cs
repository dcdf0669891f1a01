using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

public class AttentionTests
{
    private static readonly ScalarType[] DTypes = [ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16];

    public static TheoryData<long, ScalarType> TokensAndTypes()
    {
        var data = new TheoryData<long, ScalarType>();
        foreach (int n in Shapes.FewTokens)
        {
            foreach (var dtype in DTypes)
            {
                data.Add(n, dtype);
            }
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(TokensAndTypes))]
    public void ForwardAndBackward_MatchReference(long tokens, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        OpCheck.Run(new AttentionCase { Queries = tokens, Keys = tokens, Width = 32, DType = dtype }.WithLse());
    }

    [Fact]
    public void ManyTokens_MatchReference()
    {
        using var scope = NewDisposeScope();
        foreach (int n in (int[])[577, 704, 1025])
        {
            OpCheck.Run(new AttentionCase { Batch = 1, Queries = n, Keys = n, Heads = 1, KvHeads = 1, Width = 24 }.WithLse());
        }
    }

    [Fact]
    public void AnyHeadDim_MatchesReference()
    {
        using var scope = NewDisposeScope();
        foreach (int width in (int[])[1, .. Shapes.HeadDims, .. Shapes.OddHeadDims])
        {
            OpCheck.Run(new AttentionCase { Queries = 50, Keys = 65, Width = width }.WithLse());
        }
    }

    [Fact]
    public void QueriesAndKeysDifferInNumber_AlsoCausal()
    {
        using var scope = NewDisposeScope();
        foreach (var (queries, keys) in ((int, int)[])[(1, 97), (97, 1), (130, 257), (257, 130), (49, 48), (48, 49), (200, 400), (400, 200)])
        {
            OpCheck.Run(new AttentionCase { Queries = queries, Keys = keys }.WithLse());
            OpCheck.Run(new AttentionCase { Queries = queries, Keys = keys, Causal = true }.WithLse());
        }
    }

    [Fact]
    public void GroupedQueries_MatchReference()
    {
        using var scope = NewDisposeScope();
        foreach (var (heads, kvHeads) in ((int, int)[])[(4, 1), (6, 2), (8, 4), (3, 3)])
        {
            var c = new AttentionCase { Queries = 60, Keys = 33, Heads = heads, KvHeads = kvHeads };
            OpCheck.Run(c.WithLse());
            OpCheck.Run(c.HeadsFirst());
        }
    }

    [Fact]
    public void Scale_IsUsed()
    {
        using var scope = NewDisposeScope();
        foreach (double scale in (double[])[1, 0.03, -0.5, 0])
        {
            OpCheck.Run(new AttentionCase { Scale = scale }.WithLse());
        }
    }

    [Fact]
    public void EveryDoor_MatchesReference()
    {
        using var scope = NewDisposeScope();
        foreach (var dtype in DTypes)
        {
            foreach (bool causal in (bool[])[false, true])
            {
                var c = new AttentionCase { Queries = 70, Keys = 70, Width = 40, DType = dtype, Causal = causal };
                OpCheck.Run(c.OutputOnly());
                OpCheck.Run(c.HeadsFirst());
                OpCheck.Run(c.Packed());
            }
        }
    }

    [Fact]
    public void PackedAndSeparate_AgreeToTheBit()
    {
        using var scope = NewDisposeScope();
        var qkv = randn([2, 100, 3, 3, 40]);
        var g = randn(2, 100, 3, 40);
        var packed = qkv.detach().requires_grad_();
        var (output, lse) = functional.attention_qkvpacked_with_lse(packed);
        output.backward([g]);
        var parts = Enumerable.Range(0, 3).Select(i => qkv.select(2, i).detach().requires_grad_()).ToArray();
        var (separate, separateLse) = functional.attention_with_lse(parts[0], parts[1], parts[2]);
        separate.backward([g]);
        Assert.Null(Bits.FirstDifference(output.detach(), separate.detach()));
        Assert.Null(Bits.FirstDifference(lse.detach(), separateLse.detach()));
        Assert.Null(Bits.FirstDifference(packed.grad!, stack(parts.Select(p => p.grad!), 2)));
    }

    [Fact]
    public void OneHeadWithoutHeadDimension_IsTorchsThreeDimensionalForm()
    {
        using var scope = NewDisposeScope();
        var (q, k, v, mask) = (randn(3, 9, 8), randn(3, 11, 8), randn(3, 11, 8), rand(3, 9, 11) > 0.3);
        var ours = functional.scaled_dot_product_attention(q, k, v, mask);
        var stock = nn.functional.scaled_dot_product_attention(q, k, v, mask);
        Assert.True(ours.allclose(stock, 1e-5, 1e-6));
        Assert.Equal([3L, 9], functional.scaled_dot_product_attention_with_lse(q, k, v).lse.shape);
    }

    [Fact]
    public void AnyLayout_OfInputsAndGradients()
    {
        using var scope = NewDisposeScope();
        foreach (var layout in Strides.All)
        {
            var c = new AttentionCase { Queries = 19, Keys = 33, Width = 24, Layout = layout.Apply };
            OpCheck.Run(c.WithLse() with { Name = layout.Name });
            OpCheck.Run(c.OutputOnly() with { Name = $"gradient {layout.Name}", GradLayout = layout.Apply });
            OpCheck.Run(c.HeadsFirst() with { Name = $"heads first, {layout.Name}" });
            OpCheck.Run((c with { Keys = 19 }).Packed() with { Name = $"packed, {layout.Name}" });
            OpCheck.Run((c with { DType = bfloat16 }).OutputOnly() with { Name = $"bfloat16, {layout.Name}" });
        }
        OpCheck.Run(new AttentionCase().OutputOnly() with { Name = "expanded gradient", GradLayout = Strides.Expanded });
        OpCheck.Run(new AttentionCase { Batch = 1, Heads = 1, KvHeads = 1, Layout = Strides.AbsurdSizeOne }.WithLse());
    }

    [Fact]
    public void SumsGradient_IsAScalarEverywhere()
    {
        using var scope = NewDisposeScope();
        OpCheck.Run(new AttentionCase().OutputOnly() with
        {
            Ours = t => [functional.attention(t[0], t[1], t[2]).sum()],
            Stock = t => [new AttentionCase().Stock(t)[0].sum()],
            // The sum cancels: its error is that of its terms.
            Tolerance = new() { Absolute = 1e-5 },
        });
    }

    [Fact]
    public void OnlySomeInputsWantGradients()
    {
        using var scope = NewDisposeScope();
        for (int which = 0; which < 3; which++)
        {
            bool[] wants = [which == 0, which == 1, which == 2, false];
            OpCheck.Run(new AttentionCase().OutputOnly() with { Differentiable = wants });
        }
    }

    [Fact]
    public void NoQueriesOrNoKeys()
    {
        using var scope = NewDisposeScope();
        var empty = functional.attention(zeros(2, 0, 2, 8), zeros(2, 5, 2, 8), zeros(2, 5, 2, 8));
        Assert.Equal([2L, 0, 2, 8], empty.shape);
        var q = randn(2, 3, 2, 8).requires_grad_();
        var k = randn(2, 0, 2, 8).requires_grad_();
        var (output, lse) = functional.attention_with_lse(q, k, k);
        output.sum().backward();
        Assert.True(output.eq(0).all().item<bool>());
        Assert.True(lse.eq(double.NegativeInfinity).all().item<bool>());
        Assert.True(q.grad!.eq(0).all().item<bool>());
    }

    [Fact]
    public void Gradients_PassCentralDifferences()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(3);
        Tensor[] inputs = [randn([1, 5, 2, 4], generator: g), randn([1, 6, 1, 4], generator: g), randn([1, 6, 1, 4], generator: g), randn([2, 5, 6], generator: g)];
        foreach (bool causal in (bool[])[false, true])
        {
            var c = new AttentionCase { Causal = causal };
            GradCheck.Run("output", t => functional.attention(t[0], t[1], t[2], t[3], causal), t => c.Stock(t)[0], inputs);
            GradCheck.Run("log-sum-exp", t => functional.attention_with_lse(t[0], t[1], t[2], t[3], causal).lse + (0 * t[2].sum()), t => c.Stock(t)[1] + (0 * t[2].sum()), inputs);
        }
    }

    [Fact]
    public void Repeats_AreBitwiseEqual() => Determinism.Check("attention", Pass(new AttentionCase { Queries = 97, Keys = 65, Width = 40 }));

    [Fact]
    public void Threads_DoNotChangeAnyBit()
    {
        Determinism.CheckThreads("many heads", Pass(new AttentionCase { Queries = 97, Keys = 65, Heads = 6, KvHeads = 3 }));
        Determinism.CheckThreads("one head", Pass(new AttentionCase { Batch = 1, Queries = 300, Keys = 1000, Heads = 1, KvHeads = 1 }));
        Determinism.CheckThreads("shared bias", Pass(new AttentionCase { Queries = 97, Keys = 500, Mask = randn(97, 500) }));
    }

    private static Func<Tensor[]> Pass(AttentionCase c)
    {
        var inputs = c.Inputs();
        return () =>
        {
            var leaves = Array.ConvertAll(inputs, t => t?.detach().requires_grad_());
            var (output, lse) = functional.attention_with_lse(leaves[0]!, leaves[1]!, leaves[2]!, leaves[3], c.Causal);
            output.pow(2).sum().backward();
            return [output.detach(), lse.detach(), .. leaves.Where(l => l is not null).Select(l => l!.grad!)];
        };
    }
}
