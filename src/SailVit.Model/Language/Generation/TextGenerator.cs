using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Language;

/// <summary>Writes answers token by token, several prompts at once, over a cache of keys and values.</summary>
public static class TextGenerator
{
    /// <summary>Answers prompts of text.</summary>
    /// <param name="model">The language model.</param>
    /// <param name="prompts">Token ids of each.</param>
    /// <param name="options">How.</param>
    /// <param name="onToken">Told of each token as it is chosen: which prompt, which token.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="ArgumentException">A prompt is empty, or too long for the model together with its answer.</exception>
    public static IReadOnlyList<GeneratedSequence> Generate(this CausalLanguageModel model, IReadOnlyList<IReadOnlyList<int>> prompts, GenerationOptions options,
        Action<int, int>? onToken = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Generate(model, prompts, model.Embed, options, onToken, cancellation);
    }

    /// <summary>The same with embeddings of the prompts that are not all the model's own.</summary>
    internal static IReadOnlyList<GeneratedSequence> Generate(CausalLanguageModel model, IReadOnlyList<IReadOnlyList<int>> prompts, Func<Tensor, Tensor> embedPrompts,
        GenerationOptions options, Action<int, int>? onToken, CancellationToken cancellation)
    {
        Check(model, prompts, options);
        using var off = no_grad();
        using var scope = NewDisposeScope();
        long capacity = prompts.Max(p => p.Count) + options.MaxNewTokens;
        using var cache = new KvCache(model.Config, prompts.Count, capacity, model.Head.dtype);
        var answers = prompts.Select((p, i) => new Answer(i, options, p)).ToList();

        cancellation.ThrowIfCancellationRequested();
        var layout = SequenceLayout.Of([.. prompts.Select(p => p.Count)]);
        var embeddings = embedPrompts(Ids(prompts.SelectMany(p => p)));
        Step(model, embeddings, layout, cache, answers, onToken);
        while (answers.Exists(a => a.Reason is null))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = NewDisposeScope();
            var open = answers.FindAll(a => a.Reason is null);
            // Finished sequences stay in the cache and get no more tokens.
            layout = SequenceLayout.After(cache.Lengths, [.. answers.Select(a => a.Reason is null ? 1 : 0)]);
            Step(model, model.Embed(Ids(open.Select(a => a.Ids[^1]))), layout, cache, open, onToken);
        }
        return [.. answers.Select(a => new GeneratedSequence(a.Ids, a.Reason!.Value))];
    }

    private static void Step(CausalLanguageModel model, Tensor embeddings, SequenceLayout layout, KvCache cache, List<Answer> answers, Action<int, int>? onToken)
    {
        using var scope = NewDisposeScope();
        var hidden = model.Hidden(embeddings, layout, cache);
        // Only a sequence's last token says what comes next.
        var last = hidden.shape[0] == answers.Count ? hidden : hidden.index_select(0, tensor([.. answers.Select(a => layout.CuSeqlens[a.Index + 1] - 1)], dtype: int64));
        var logits = model.Logits(last).to(float32).contiguous();
        var scores = MemoryMarshal.Cast<byte, float>(logits.bytes);
        int width = model.Config.VocabSize;
        for (int i = 0; i < answers.Count; i++)
        {
            int token = answers[i].Choose(scores.Slice(i * width, width));
            onToken?.Invoke(answers[i].Index, token);
        }
    }

    private static void Check(CausalLanguageModel model, IReadOnlyList<IReadOnlyList<int>> prompts, GenerationOptions options)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (prompts.Count == 0)
        {
            throw new ArgumentException("there is no prompt; at least one is needed.", nameof(prompts));
        }
        for (int i = 0; i < prompts.Count; i++)
        {
            if (prompts[i].Count == 0)
            {
                throw new ArgumentException($"prompt {i} has no token; it needs at least one.", nameof(prompts));
            }
            if (prompts[i].Any(id => id < 0 || id >= model.Config.VocabSize))
            {
                throw new ArgumentException($"prompt {i} holds token {prompts[i].First(id => id < 0 || id >= model.Config.VocabSize)}; the vocabulary has {model.Config.VocabSize} tokens. Is this the model's own tokenizer?", nameof(prompts));
            }
            if (prompts[i].Count + (long)options.MaxNewTokens > model.Config.MaxPositions)
            {
                throw new ArgumentException($"prompt {i} has {prompts[i].Count} tokens; with up to {options.MaxNewTokens} new ones it exceeds the model's context of {model.Config.MaxPositions}. Shorten the prompt, use fewer images or tiles, or ask for a shorter answer.", nameof(prompts));
            }
        }
    }

    private static Tensor Ids(IEnumerable<int> ids) => tensor([.. ids.Select(id => (long)id)], dtype: int64);

    /// <summary>One answer in the making.</summary>
    private sealed class Answer(int index, GenerationOptions options, IReadOnlyList<int> prompt)
    {
        private readonly TokenSampler _sampler = new(options, prompt, index);

        public int Index { get; } = index;

        public List<int> Ids { get; } = [];

        public StopReason? Reason { get; private set; }

        public int Choose(Span<float> scores)
        {
            int token = _sampler.Next(scores);
            Ids.Add(token);
            Reason = options.StopIds.Contains(token) ? StopReason.StopToken : Ids.Count == options.MaxNewTokens ? StopReason.Length : null;
            return token;
        }
    }
}
