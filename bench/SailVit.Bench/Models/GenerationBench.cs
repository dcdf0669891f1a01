using SailVit.Bench.Stock;
using SailVit.Model.Language;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Models;

/// <summary>Benchmarks of generation: the first token after a prompt, and each token after it.</summary>
public static class GenerationBench
{
    /// <summary>Tokens of the prompt: one image of 256 and a question.</summary>
    public const int Prompt = 300;

    /// <summary>Both phases, one sequence.</summary>
    public static IEnumerable<BenchCase> Cases(string name, LanguageConfig config, ScalarType dtype)
    {
        ArgumentNullException.ThrowIfNull(config);
        // The embedding is looked up, the head is read: a tied matrix counts once either way.
        double read = config.ParameterCount - (config.TieEmbeddings ? 0 : (double)config.VocabSize * config.HiddenSize);
        double blocks = read - ((double)config.VocabSize * config.HiddenSize);
        yield return Case("first token", Prompt, new(2 * blocks * Prompt, read * dtype.ElementSize()));
        yield return Case("next token", 1, new(2 * read, read * dtype.ElementSize()));

        BenchCase Case(string phase, int tokens, Work work) => new()
        {
            Op = name,
            Shape = $"{phase} at {Prompt}",
            DType = dtype,
            Direction = Direction.Forward,
            Work = work,
            Baseline = "TorchSharp ops with a KV cache",
            Create = () => new GenerationPair(config, dtype, tokens),
        };
    }
}

/// <summary>One model in our ops and in stock ops, on the same weights; a call gives the scores of the next token.</summary>
internal sealed class GenerationPair : BenchPair
{
    private readonly CausalLanguageModel _model;
    private readonly StockLanguageModel _stock;
    private readonly KvCache _cache;
    private readonly Tensor _prompt, _ids;
    private readonly long _held;

    public GenerationPair(LanguageConfig config, ScalarType dtype, int tokens)
    {
        manual_seed(1);
        _model = new CausalLanguageModel(config, dtype);
        _model.eval();
        _stock = new StockLanguageModel(_model, GenerationBench.Prompt + 1);
        _cache = new KvCache(config, 1, GenerationBench.Prompt + 1, dtype);
        _prompt = randint(0, config.VocabSize, [GenerationBench.Prompt], dtype: int64).DetachFromDisposeScope();
        _ids = tokens == 1 ? tensor([17L], dtype: int64).DetachFromDisposeScope() : _prompt.alias().DetachFromDisposeScope();
        if (tokens == 1)
        {
            Next(_prompt).Dispose();
            _stock.Next(_prompt).Dispose();
            _held = GenerationBench.Prompt;
        }
    }

    public override Tensor[] Ours()
    {
        _cache.Truncate(0, _held);
        return [Next(_ids)];
    }

    public override Tensor[] Stock()
    {
        _stock.Held = _held;
        return [_stock.Next(_ids)];
    }

    // A float64 copy of a model would not fit where the model just does; how far the two sides are apart stands in a test.
    public override (double? Ours, double? Stock) Errors() => (null, null);

    private Tensor Next(Tensor ids)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        var hidden = _model.Hidden(_model.Embed(ids), SequenceLayout.After(_cache.Lengths, [(int)ids.shape[0]]), _cache);
        return _model.Logits(hidden.narrow(0, hidden.shape[0] - 1, 1)).MoveToOuterDisposeScope();
    }

    protected override void Dispose(bool disposing)
    {
        _stock.Dispose();
        _model.Dispose();
        _cache.Dispose();
        _prompt.Dispose();
        _ids.Dispose();
    }
}
