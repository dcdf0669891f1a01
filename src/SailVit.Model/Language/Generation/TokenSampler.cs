namespace SailVit.Model.Language;

/// <summary>Chooses the next token of one sequence from its scores: penalty, temperature, top-k, top-p, draw, in this order.</summary>
/// <remarks>The order is transformers'. Sources: top-k, Fan et al. 2018; top-p, Holtzman et al. 2020.</remarks>
internal sealed class TokenSampler
{
    private readonly GenerationOptions _options;
    private readonly Random _random;
    private readonly HashSet<int> _seen;

    /// <param name="options">How.</param>
    /// <param name="prompt">Tokens that the repetition penalty counts from the beginning.</param>
    /// <param name="index">Which sequence of the call: each has its own stream of draws.</param>
    public TokenSampler(GenerationOptions options, IEnumerable<int> prompt, int index)
    {
        _options = options;
        // Seeded System.Random is the same on every platform and version. The factor keeps neighbouring seeds apart.
        _random = new Random(unchecked(options.Seed + (index * (int)0x9E3779B9)));
        _seen = options.RepetitionPenalty == 1 ? [] : [.. prompt];
    }

    /// <summary>The next token.</summary>
    /// <param name="scores">[V]; overwritten.</param>
    /// <exception cref="InvalidOperationException">Scores are not finite: the model's weights or input are broken.</exception>
    public int Next(Span<float> scores)
    {
        Penalize(scores);
        int best = Best(scores);
        int token = _options.Temperature == 0 ? best : Draw(scores, scores[best]);
        if (_options.RepetitionPenalty != 1)
        {
            _seen.Add(token);
        }
        return token;
    }

    private void Penalize(Span<float> scores)
    {
        float penalty = (float)_options.RepetitionPenalty;
        foreach (int token in _seen)
        {
            ref float score = ref scores[token];
            score = score > 0 ? score / penalty : score * penalty;
        }
    }

    // The first of equals.
    private static int Best(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 1; i < scores.Length; i++)
        {
            if (scores[i] > scores[best])
            {
                best = i;
            }
        }
        return float.IsFinite(scores[best]) ? best
            : throw new InvalidOperationException("the model gives scores that are not finite; its weights or its input are broken.");
    }

    private int Draw(ReadOnlySpan<float> scores, float largest)
    {
        var candidates = Candidates(scores, largest);
        double total = candidates.Sum(c => c.Weight);
        if (_options.TopP < 1)
        {
            total = Nucleus(candidates, _options.TopP * total);
        }
        double at = _random.NextDouble() * total;
        foreach (var (token, weight) in candidates)
        {
            at -= weight;
            if (at < 0)
            {
                return token;
            }
        }
        return candidates[^1].Token;
    }

    /// <summary>Tokens by falling probability, weights relative to the largest; at most k, and without those that no nucleus can reach.</summary>
    private List<(int Token, double Weight)> Candidates(ReadOnlySpan<float> scores, float largest)
    {
        // What is left out has less than (1 − p) / V each, so less than 1 − p in all: the nucleus is in what remains.
        double floor = _options.TopP < 1 ? (1 - _options.TopP) / scores.Length : 0;
        var candidates = new List<(int Token, double Weight)>();
        for (int i = 0; i < scores.Length; i++)
        {
            double weight = Math.Exp((scores[i] - largest) / _options.Temperature);
            if (weight > floor)
            {
                candidates.Add((i, weight));
            }
        }
        if (_options.TopP < 1 || (_options.TopK > 0 && _options.TopK < candidates.Count))
        {
            // Equals by id, so that the same scores give the same draw.
            candidates.Sort((a, b) => a.Weight != b.Weight ? b.Weight.CompareTo(a.Weight) : a.Token.CompareTo(b.Token));
        }
        if (_options.TopK > 0 && _options.TopK < candidates.Count)
        {
            candidates.RemoveRange(_options.TopK, candidates.Count - _options.TopK);
        }
        return candidates;
    }

    /// <summary>Keeps the fewest candidates that have this weight together; returns what they have.</summary>
    private static double Nucleus(List<(int Token, double Weight)> candidates, double wanted)
    {
        double sum = 0;
        for (int i = 0; i < candidates.Count; i++)
        {
            sum += candidates[i].Weight;
            if (sum >= wanted)
            {
                candidates.RemoveRange(i + 1, candidates.Count - i - 1);
            }
        }
        return sum;
    }
}
