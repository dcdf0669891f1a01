using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Where one number is not a number, results and gradients are none at the places of the composition in float64.</summary>
public class AttentionNotANumberTests
{
    /// <summary>Queries, keys, values or the gradient of the output; shapes of one and of several blocks; masks of every kind.</summary>
    public static TheoryData<int, long, long, long, string> Cases()
    {
        var data = new TheoryData<int, long, long, long, string>();
        foreach (int where in (int[])[0, 1, 2, 3])
        {
            foreach (var mask in (string[])["none", "boolean", "bias", "causal", "causal boolean"])
            {
                data.Add(where, 5, 7, 3, mask);
                data.Add(where, 50, 193, 17, mask);
            }
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void NaN_SpreadsAsInTheComposition(int where, long queries, long keys, long width, string mask)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(5);
        var bias = mask switch
        {
            "boolean" or "causal boolean" => (rand([queries, keys], generator: g) > 0.2).logical_or(eye(keys, dtype: ScalarType.Bool).narrow(0, 0, queries)),
            "bias" => randn([2, 1, queries, keys], generator: g),
            _ => null,
        };
        var c = new AttentionCase { Queries = queries, Keys = keys, Width = width, Causal = mask.StartsWith("causal", StringComparison.Ordinal), Mask = bias };
        Tensor[] inputs = [.. c.Inputs().Take(3).Select(t => t!)], tensors = [.. inputs, randn([2, queries, 2, width], generator: g)];
        tensors[where].select(0, 1).select(0, tensors[where].shape[1] / 2).select(0, 1).select(0, width - 1).fill_(double.NaN);
        var ours = Results(inputs, bias, tensors[3], t => functional.attention(t[0], t[1], t[2], t[3], c.Causal));
        var exact = Results(Array.ConvertAll(inputs, t => t.to(float64)), bias?.is_floating_point() == true ? bias.to(float64) : bias, tensors[3].to(float64), t => c.Stock(t)[0]);
        for (int i = 0; i < ours.Length; i++)
        {
            var (here, there) = (ours[i].isnan(), exact[i].isnan());
            Assert.False(here.logical_and(there.logical_not()).any().item<bool>(), $"result {i} has {here.sum().item<long>()} NaN, the composition {there.sum().item<long>()}");
            if (!c.Causal)
            {
                // Before the diagonal, blocks that are wholly hidden are not computed, so that theirs do not spread.
                Assert.True(here.eq(there).all().item<bool>(), $"result {i} has {here.sum().item<long>()} NaN, the composition {there.sum().item<long>()}");
            }
            Assert.True(ours[i].to(float64).sub(exact[i]).masked_fill(there, 0).abs().max().item<double>() < 1e-4);
        }
    }

    [Fact]
    public void HiddenKey_MayBeAnything()
    {
        using var scope = NewDisposeScope();
        var c = new AttentionCase { Keys = 20, Mask = arange(20).lt(15).expand(17, 20) };
        var inputs = c.Inputs();
        var expected = functional.attention(inputs[0]!, inputs[1]!, inputs[2]!, inputs[3]);
        foreach (double value in (double[])[double.NaN, double.PositiveInfinity, double.NegativeInfinity])
        {
            inputs[1]!.narrow(1, 15, 5).fill_(value);
            Assert.Null(Bits.FirstDifference(expected, functional.attention(inputs[0]!, inputs[1]!, inputs[2]!, inputs[3])));
        }
    }

    private static Tensor[] Results(Tensor[] inputs, Tensor? mask, Tensor gradOutput, Func<Tensor[], Tensor> attention)
    {
        var leaves = Array.ConvertAll(inputs, t => t.detach().requires_grad_());
        var bias = mask?.is_floating_point() == true ? mask.detach().requires_grad_() : mask;
        var output = attention([.. leaves, bias!]);
        output.backward([gradOutput]);
        return [output.detach(), .. leaves.Select(t => t.grad!), .. bias is { requires_grad: true } ? [bias.grad!] : Array.Empty<Tensor>()];
    }
}
