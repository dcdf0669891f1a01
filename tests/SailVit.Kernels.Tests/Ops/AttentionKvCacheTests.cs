using SailVit.Kernels.Backends.Cpu;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using stock = TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Ops;

public class AttentionKvCacheTests
{
    /// <summary>One call: per sequence the keys held and the new tokens.</summary>
    private sealed record Setup(long[] Held, long[] New, long Heads, long KvHeads, long Width, long Capacity)
    {
        public long[] CuSeqlens => [0, .. New.Select((_, s) => New.Take(s + 1).Sum())];

        public long Tokens => New.Sum();
    }

    private static OpCase Case(Setup c, ScalarType dtype, Generator g, int seed = 1, Func<Tensor, Tensor>? layout = null)
    {
        Tensor Random(params long[] shape) => randn(shape, generator: g).to(dtype);
        Tensor As(Tensor x) => layout is null ? x : layout(x);
        return new()
        {
            Name = $"attention_kvcache_, held [{string.Join(", ", c.Held)}], new [{string.Join(", ", c.New)}], {c.Heads}/{c.KvHeads} x {c.Width}",
            Inputs = [As(Random(c.Tokens, c.Heads, c.Width)), As(Random(c.Tokens, c.KvHeads, c.Width)), As(Random(c.Tokens, c.KvHeads, c.Width)),
                Random(c.Held.Length, c.Capacity, c.KvHeads, c.Width), Random(c.Held.Length, c.Capacity, c.KvHeads, c.Width)],
            Ours = t => [functional.attention_kvcache_(t[0], t[1], t[2], t[3].clone(), t[4].clone(), c.CuSeqlens, c.Held)],
            Stock = t => [Stock(c, t)],
            Differentiable = [],
            Seed = seed,
        };
    }

    private static Tensor Stock(Setup c, Tensor[] t)
    {
        var outputs = new List<Tensor>();
        for (int s = 0; s < c.Held.Length; s++)
        {
            Tensor New(Tensor x) => x.narrow(0, c.CuSeqlens[s], c.New[s]).transpose(0, 1); // [n, H, D] → [H, n, D]
            Tensor All(Tensor cache, Tensor x) => cat([cache[s].narrow(0, 0, c.Held[s]).transpose(0, 1), New(x)], 1).repeat_interleave(c.Heads / c.KvHeads, 0);
            var scores = New(t[0]).matmul(All(t[3], t[1]).transpose(-2, -1)) / Math.Sqrt(c.Width);
            var hidden = ones(c.New[s], c.Held[s] + c.New[s], dtype: ScalarType.Bool).triu(c.Held[s] + 1);
            outputs.Add(stock.softmax(scores.masked_fill(hidden, double.NegativeInfinity), -1).matmul(All(t[4], t[2])).transpose(0, 1));
        }
        return cat(outputs, 0);
    }

    private static readonly Setup[] Setups =
    [
        new([0], [1], 2, 2, 64, 1),
        new([0], [5], 2, 1, 32, 8),
        new([300], [1], 4, 2, 128, 301),
        new([127, 128, 0, 9], [1, 1, 0, 1], 8, 2, 80, 200),
        new([40], [60], 4, 2, 64, 128),
        new([3, 130, 17], [1, 70, 4], 6, 3, 66, 256),
    ];

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void Outputs_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(41);
        Assert.All(Setups, c => OpCheck.Run(Case(c, dtype, g)));
    }

    [Fact]
    public void AnyLayoutOfNewTokens()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(42);
        foreach (var layout in Strides.All)
        {
            OpCheck.Run(Case(Setups[^1], float32, g, layout: layout.Apply));
            OpCheck.Run(Case(Setups[2], float32, g, layout: layout.Apply));
        }
    }

    [Fact]
    public void NewKeysAndValues_AreStoredWhereTheyBelong_AndNothingElseIsTouched()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(43);
        var c = Setups[^1];
        var t = Case(c, float32, g).Inputs;
        // Head-major caches, as the language model keeps them.
        var keys = t[3]!.transpose(1, 2).contiguous().transpose(1, 2);
        var values = t[4]!.clone();
        functional.attention_kvcache_(t[0]!, t[1]!, t[2]!, keys, values, c.CuSeqlens, c.Held);
        foreach (var (cache, before, rows) in new[] { (keys, t[3]!, t[1]!), (values, t[4]!, t[2]!) })
        {
            var expected = before.clone();
            for (int s = 0; s < c.Held.Length; s++)
            {
                expected[s].narrow(0, c.Held[s], c.New[s]).copy_(rows.narrow(0, c.CuSeqlens[s], c.New[s]));
            }
            Assert.Null(Bits.FirstDifference(expected, cache.contiguous()));
        }
    }

    [Fact]
    public void OneByOne_IsAsAllAtOnce()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(44);
        Tensor Random(long heads) => randn([50, heads, 64], generator: g);
        var (q, k, v) = (Random(4), Random(2), Random(2));
        var (keys, values) = (zeros(1, 50, 2, 64), zeros(1, 50, 2, 64));
        var rows = Enumerable.Range(0, 50).Select(i => functional.attention_kvcache_(q.narrow(0, i, 1), k.narrow(0, i, 1), v.narrow(0, i, 1), keys, values, [0, 1], [i]));
        var offsets = tensor([0, 50], dtype: int32);
        var whole = functional.attention_varlen(q, k, v, offsets, offsets, is_causal: true);
        Assert.True((cat(rows.ToArray(), 0) - whole).abs().max().item<float>() < 2e-6);
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(45);
        var c = Case(Setups[3], float32, g);
        Determinism.Check("attention_kvcache_", () => c.Ours(c.Inputs!));
        Determinism.CheckThreads("attention_kvcache_", () => c.Ours(c.Inputs!));
    }

    [Fact]
    public void BadArguments_AreNamedAndNothingIsWritten()
    {
        using var scope = NewDisposeScope();
        var (q, k, cache) = (ones(2, 4, 8), ones(2, 2, 8), zeros(1, 4, 2, 8));
        void Fails(string part, Action call) => Assert.Contains(part, Assert.ThrowsAny<Exception>(call).Message, StringComparison.Ordinal);
        Fails("room for 4", () => functional.attention_kvcache_(q, k, k, cache, cache, [0, 2], [3]));
        Fails("room for 4", () => functional.attention_kvcache_(q, k, k, cache, cache, [0, 2], [long.MaxValue]));
        Fails("key has shape [2, 2, 8]; it must be [2, 3, 8]", () => functional.attention_kvcache_(q, k, k, zeros(1, 4, 3, 8), cache, [0, 2], [0]));
        Fails("value_cache has shape", () => functional.attention_kvcache_(q, k, k, cache, zeros(1, 5, 2, 8), [0, 2], [0]));
        Fails("from 0 to 2", () => functional.attention_kvcache_(q, k, k, cache, cache, [0, 1], [0]));
        Fails("key_cache has dtype BFloat16", () => functional.attention_kvcache_(q, k, k, cache.to(bfloat16), cache, [0, 2], [0]));
        Fails("has no gradient", () => functional.attention_kvcache_(q.requires_grad_(), k, k, cache, cache, [0, 2], [0]));
        Assert.Equal(0, cache.abs().max().item<float>());
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("attention_kvcache_", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 8_000_000);
        int sequences = random.Next(1, 4);
        long[] held = [.. Enumerable.Range(0, sequences).Select(_ => (long)random.Next(0, 200))];
        long[] added = [.. Enumerable.Range(0, sequences).Select(_ => (long)(random.Chance() ? 1 : random.Next(1, 60)))];
        long group = random.Next(1, 4), kv = random.Next(1, 4);
        var c = new Setup(held, added, group * kv, kv, random.Next(1, 140), 300);
        OpCheck.Run(Case(c, random.Pick(float32, bfloat16, float16), g, seed) with { Widths = [random.Pick(Cpu.Available)] });
    });
}
