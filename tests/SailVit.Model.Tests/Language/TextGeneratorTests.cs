using SailVit.Model.Language;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Language;

public sealed class TextGeneratorTests
{
    internal static readonly LanguageConfig Small = new()
    {
        Family = LanguageFamily.Qwen3,
        HiddenSize = 64,
        IntermediateSize = 160,
        Layers = 2,
        Heads = 4,
        KvHeads = 2,
        HeadDim = 32,
        VocabSize = 200,
        MaxPositions = 96,
        QkNorm = true,
        TieEmbeddings = true,
        InitializerRange = 0.3,
    };

    private static readonly IReadOnlyList<int>[] Prompts = [[1, 2, 3, 4, 5, 6, 7], [9], [11, 12, 13]];

    internal static CausalLanguageModel Model(LanguageConfig? config = null)
    {
        manual_seed(3);
        var model = new CausalLanguageModel(config ?? Small);
        model.eval();
        return model;
    }

    private static Tensor Logits(CausalLanguageModel model, IEnumerable<int> ids)
    {
        var tokens = tensor([.. ids.Select(i => (long)i)], dtype: int64);
        return model.Logits(model.Hidden(model.Embed(tokens), SequenceLayout.Of((int)tokens.shape[0])));
    }

    [Fact]
    public void Cached_IsAsUncached()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var model = Model();
        var answers = model.Generate(Prompts, new() { MaxNewTokens = 20 });
        for (int p = 0; p < Prompts.Length; p++)
        {
            List<int> ids = [.. Prompts[p]];
            foreach (int token in answers[p].Ids)
            {
                Assert.Equal(Logits(model, ids)[-1].argmax().item<long>(), token);
                ids.Add(token);
            }
        }
    }

    [Theory]
    [InlineData(LanguageFamily.Qwen2)]
    [InlineData(LanguageFamily.Qwen3)]
    public void HiddenStatesInPieces_AreAsInOne(LanguageFamily family)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        bool qwen3 = family == LanguageFamily.Qwen3;
        using var model = Model(Small with { Family = family, QkNorm = qwen3, QkvBias = !qwen3, TieEmbeddings = false });
        var ids = randint(0, 200, [60], dtype: int64);
        var whole = model.Hidden(model.Embed(ids), SequenceLayout.Of(25, 35));
        using var cache = new KvCache(model.Config, 2, 40);
        var (a, b) = (new List<Tensor>(), new List<Tensor>());
        // A long prompt, a prompt continued on the cache, then single tokens; the sequences out of step.
        foreach (var (first, second) in ((int, int)[])[(10, 0), (0, 20), (13, 14), (1, 1), (1, 0)])
        {
            long[] held = [.. cache.Lengths];
            var part = cat([ids.narrow(0, held[0], first), ids.narrow(0, 25 + held[1], second)], 0);
            var hidden = model.Hidden(model.Embed(part), SequenceLayout.After(held, [first, second]), cache);
            a.Add(hidden.narrow(0, 0, first));
            b.Add(hidden.narrow(0, first, second));
        }
        Assert.Equal([25, 35], cache.Lengths);
        Assert.InRange((cat([.. a, .. b], 0) - whole).abs().max().item<float>(), 0, 2e-5);
    }

    [Fact]
    public void PromptsTogether_AreAsEachAlone()
    {
        using var model = Model();
        var options = new GenerationOptions { MaxNewTokens = 15 };
        var together = model.Generate(Prompts, options);
        Assert.All(Prompts.Zip(together), pair => Assert.Equal(model.Generate([pair.First], options)[0].Ids, pair.Second.Ids));
    }

    [Fact]
    public void Sampling_IsReproducible_AndStreamed()
    {
        using var model = Model();
        var options = new GenerationOptions { MaxNewTokens = 25, Temperature = 0.8, TopP = 0.9, TopK = 50, RepetitionPenalty = 1.1, Seed = 5 };
        var streamed = Prompts.Select(_ => new List<int>()).ToArray();
        var first = model.Generate(Prompts, options, (prompt, token) => streamed[prompt].Add(token));
        Assert.All(first.Zip(streamed), pair => Assert.Equal(pair.First.Ids, pair.Second));
        Assert.All(first.Zip(model.Generate(Prompts, options)), pair => Assert.Equal(pair.First.Ids, pair.Second.Ids));
        Assert.Contains(first.Zip(model.Generate(Prompts, options with { Seed = 6 })), pair => !pair.First.Ids.SequenceEqual(pair.Second.Ids));
    }

    [Fact]
    public void StopTokens_EndOneAnswerAndNotTheOthers()
    {
        using var model = Model();
        var free = model.Generate(Prompts, new() { MaxNewTokens = 12 });
        int stop = free[0].Ids[3];
        var stopped = model.Generate(Prompts, new() { MaxNewTokens = 12, StopIds = [stop] });
        for (int p = 0; p < Prompts.Length; p++)
        {
            int at = free[p].Ids.ToList().IndexOf(stop);
            Assert.Equal(at < 0 ? free[p].Ids : free[p].Ids.Take(at + 1), stopped[p].Ids);
            Assert.Equal(at < 0 ? StopReason.Length : StopReason.StopToken, stopped[p].Reason);
        }
        Assert.Equal(StopReason.StopToken, stopped[0].Reason);
    }

    [Fact]
    public void WhatDoesNotFit_IsAnError()
    {
        using var model = Model();
        void Fails(string part, IReadOnlyList<int>[] prompts, GenerationOptions options) =>
            Assert.Contains(part, Assert.Throws<ArgumentException>(() => model.Generate(prompts, options)).Message, StringComparison.Ordinal);
        Fails("exceeds the model's context of 96", [[.. Enumerable.Range(0, 90)]], new() { MaxNewTokens = 7 });
        Fails("prompt 1 has no token", [[1], []], new() { MaxNewTokens = 1 });
        Fails("holds token 200", [[200]], new() { MaxNewTokens = 1 });
        Fails("there is no prompt", [], new());
        Assert.Contains("96 positions", Assert.Throws<ArgumentException>(() => new KvCache(Small, 1, 97)).Message, StringComparison.Ordinal);
        using var cache = new KvCache(Small, 1, 4);
        Assert.Contains("room for 4", Assert.Throws<ArgumentException>(() => model.Hidden(zeros(5, 64), SequenceLayout.Of(5), cache)).Message, StringComparison.Ordinal);
        Assert.Contains("96 positions", Assert.Throws<ArgumentException>(() => model.Hidden(zeros(97, 64), SequenceLayout.Of(97))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancellation_StopsBetweenTokens()
    {
        using var model = Model();
        using var source = new CancellationTokenSource();
        int tokens = 0;
        Assert.Throws<OperationCanceledException>(() => model.Generate([Prompts[0]], new() { MaxNewTokens = 30 }, (_, _) => { if (++tokens == 3) { source.Cancel(); } }, source.Token));
        Assert.Equal(3, tokens);
    }
}
