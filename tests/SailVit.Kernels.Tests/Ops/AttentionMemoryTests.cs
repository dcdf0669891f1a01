using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Ops.Attention;
using SailVit.Kernels.Tests.Testing;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>What the kernels write, and how much they need.</summary>
[Collection(Alone.Name)]
public class AttentionMemoryTests
{
    private const double Guard = -12345;

    // A tensor inside a larger one: NaN where results go, guards around it and between its rows.
    private static (Tensor Storage, Tensor Inside) Guarded(ScalarType dtype, params long[] shape)
    {
        long[] wide = [.. shape[..^1], shape[^1] + 3];
        var storage = full([wide.Aggregate(1L, (a, b) => a * b) + 20], Guard, dtype);
        var inside = storage.narrow(0, 7, storage.numel() - 20).view(wide).narrow(-1, 1, shape[^1]);
        inside.fill_(double.NaN);
        return (storage, inside);
    }

    private static void CheckWritten(Tensor storage, Tensor inside)
    {
        Assert.False(inside.isnan().any().item<bool>(), "an element was not written");
        inside.fill_(Guard);
        Assert.True(storage.eq(full(1, Guard, storage.dtype)).all().item<bool>(), "something was written outside");
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void EveryElementIsWritten_AndNothingElse(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        foreach (var width in Cpu.Available)
        {
            using var forced = Cpu.Use(width);
            foreach (var (queries, keys, d) in ((long, long, long)[])[(1, 1, 8), (49, 193, 33), (97, 64, 72), (13, 17, 80)])
            {
                Check(new AttentionCase { Queries = queries, Keys = keys, Width = d, DType = dtype, Heads = 4 });
            }
        }
    }

    private static void Check(AttentionCase c)
    {
        var call = new AttentionCall { Layout = AttentionLayout.RowsThenHeads, Causal = false, Scale = null, WithLse = true, Training = true };
        var inputs = c.Inputs();
        var (outputStorage, output) = Guarded(c.DType, c.Batch, c.Queries, c.Heads, c.Width);
        var lse = full([c.Batch, c.Heads, c.Queries], double.NaN);
        var statistics = full([2, lse.numel()], double.NaN);
        AttentionOp.ForwardInto(call, inputs, output, lse, statistics);
        Assert.False(lse.isnan().any().item<bool>() || statistics.isnan().any().item<bool>());
        var gradients = inputs[..3].Select(t => Guarded(c.DType, t!.shape)).ToArray();
        AttentionOp.BackwardInto(call, inputs, output, statistics, ones_like(output), null, [.. gradients.Select(g => g.Inside), null], null);
        CheckWritten(outputStorage, output);
        Array.ForEach(gradients, g => CheckWritten(g.Storage, g.Inside));
    }

    [Fact]
    public void NoScoresAreKept()
    {
        const long Tokens = 8192;
        using var scope = NewDisposeScope();
        // What the first call of all compiles is not its memory.
        Pass(randn([1, 64, 3, 1, 16]));
        var qkv = randn([1, Tokens, 3, 1, 16]);
        var peak = PeakMemory.Of(() => Pass(qkv));
        Assert.SkipWhen(peak is null, "This system cannot reset its high-water mark.");
        Assert.InRange(peak!.Value, long.MinValue, Tokens * Tokens * sizeof(float) / 4);
    }

    private static void Pass(Tensor qkv)
    {
        using var scope = NewDisposeScope();
        functional.attention_qkvpacked(qkv.detach().requires_grad_()).sum().backward();
    }
}
