using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Seeded random configurations, small enough for every run.</summary>
public class AttentionFuzzTests
{
    [Fact]
    public void Dense() => RandomConfigs.Run("attention", (random, seed) => Check(random, seed, c => c.WithLse()));

    [Fact]
    public void HeadsFirst() => RandomConfigs.Run("attention, heads first", (random, seed) => Check(random, seed, c => c.HeadsFirst()));

    [Fact]
    public void Packed() => RandomConfigs.Run("attention, packed", (random, seed) => Check(random, seed, c => (c with { Keys = c.Queries, KvHeads = c.Heads, Mask = null }).Packed()));

    [Fact]
    public void Varlen() => RandomConfigs.Run("attention, variable length", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        var c = Draw(random, seed) with { Mask = null };
        long[] Offsets() => [0, .. Enumerable.Range(0, random.Next(1, 5)).Select(_ => (long)random.Next(0, 40))];
        var queries = Offsets();
        var keys = queries.Select((n, i) => i == 0 ? 0 : random.Chance() ? n : random.Next(1, 60)).ToArray();
        for (int i = 1; i < queries.Length; i++)
        {
            queries[i] += queries[i - 1];
            keys[i] += keys[i - 1];
        }
        if (queries[^1] > 0 && keys[^1] > 0)
        {
            OpCheck.Run(AttentionVarlenTests.Case(c, queries, keys) with { Widths = [random.Pick(Cpu.Available)] });
        }
    });

    private static void Check(Random random, int seed, Func<AttentionCase, OpCase> door)
    {
        using var scope = NewDisposeScope();
        var c = Draw(random, seed);
        // One width per configuration; AttentionTests run all.
        var check = door(c) with { Widths = [random.Pick(Cpu.Available)] };
        OpCheck.Run(random.Chance(0.3) && c.Causal ? check with { GradLayout = random.Pick(Strides.All).Apply } : check);
    }

    private static AttentionCase Draw(Random random, int seed)
    {
        long kvHeads = random.Next(1, 4);
        var c = new AttentionCase
        {
            Seed = seed,
            Batch = random.Next(1, 4),
            Queries = random.Chance(0.8) ? random.Next(1, 70) : random.Next(70, 210),
            Keys = random.Chance(0.8) ? random.Next(1, 70) : random.Next(70, 420),
            KvHeads = kvHeads,
            Heads = kvHeads * random.Next(1, 3),
            Width = random.Next(1, 80),
            DType = random.Pick(ScalarType.Float32, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16),
            Causal = random.Chance(0.4),
            Scale = random.Chance(0.2) ? random.NextDouble() : null,
            Layout = random.Chance(0.3) ? random.Pick(Strides.All).Apply : t => t,
        };
        return random.Chance(0.4) ? c with { Mask = Mask(random, c) } : c;
    }

    private static Tensor Mask(Random random, AttentionCase c)
    {
        using var g = new Generator((ulong)c.Seed);
        long[] shape = [c.Batch, c.Heads, c.Queries, c.Keys];
        for (int d = 0; d < 4; d++)
        {
            shape[d] = random.Chance(0.3) ? 1 : shape[d];
        }
        var values = randn(shape, generator: g);
        return random.Chance() ? values > -1 : values.to(random.Chance() ? ScalarType.Float32 : c.DType);
    }
}
