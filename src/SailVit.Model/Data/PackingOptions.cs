namespace SailVit.Model.Data;

/// <summary>How much each answer counts. n is the number of learned tokens of its sample.</summary>
public enum LossWeighting
{
    /// <summary>1 for each token: long answers count most.</summary>
    Token,

    /// <summary>1/n: each sample counts alike.</summary>
    Sample,

    /// <summary>1/√n: in between.</summary>
    Square,
}

/// <summary>What happens to a sample of more tokens than a batch holds.</summary>
public enum Overflow
{
    /// <summary>It is skipped and counted.</summary>
    Skip,

    /// <summary>Its end is cut off, unless the cut would go through an image or leave almost nothing to learn.</summary>
    Truncate,
}

/// <summary>How samples are ordered and laid into batches.</summary>
public sealed record PackingOptions
{
    /// <summary>Most tokens of a batch, those of images included.</summary>
    public int MaxTokens { get; init; } = 8192;

    /// <summary>Most tokens of one sample, where that is less: the positions of the model.</summary>
    public int MaxSampleTokens { get; init; } = int.MaxValue;

    /// <summary>Most tiles of a batch.</summary>
    public int MaxTiles { get; init; } = 24;

    /// <summary>Samples among which those of a batch are chosen.</summary>
    public int BufferSize { get; init; } = 64;

    /// <summary>How much each answer counts.</summary>
    public LossWeighting Weighting { get; init; } = LossWeighting.Square;

    /// <summary>What happens to a sample that is too long.</summary>
    public Overflow Overflow { get; init; } = Overflow.Skip;

    /// <summary>Decides the order of the samples and nothing else does.</summary>
    public ulong Seed { get; init; }

    /// <summary>Whether each epoch visits the samples in another random order, or in that of the files.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Ends after so many samples of the whole stream; by default it never does.</summary>
    public long? Samples { get; init; }

    /// <summary>
    /// Independent streams, each of which takes every <c>Lanes</c>-th sample and packs its own batches; batches come from one after the
    /// other. With the same number of lanes, one process and several see the same batches.
    /// </summary>
    public int Lanes { get; init; } = 1;

    /// <summary>This process among <see cref="Replicas"/>; it serves the lanes whose number leaves this remainder.</summary>
    public int Rank { get; init; }

    /// <summary>Processes that share the lanes.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Batches made ahead.</summary>
    public int Prefetch { get; init; } = 4;

    /// <summary>Threads that read, decode and resize; does not change what comes out.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <exception cref="ArgumentException">A value makes no sense.</exception>
    public void Validate()
    {
        foreach (var (value, name) in new[] { (MaxTokens, nameof(MaxTokens)), (MaxSampleTokens, nameof(MaxSampleTokens)), (BufferSize, nameof(BufferSize)), (Lanes, nameof(Lanes)), (Replicas, nameof(Replicas)), (Prefetch, nameof(Prefetch)), (Workers, nameof(Workers)) })
        {
            if (value < 1)
            {
                throw new ArgumentException($"{name} is {value}; it must be at least 1.");
            }
        }
        if (MaxTiles < 0 || Samples < 0)
        {
            throw new ArgumentException($"{nameof(MaxTiles)} is {MaxTiles} and {nameof(Samples)} {Samples}; neither may be negative.");
        }
        if (Rank < 0 || Rank >= Replicas || Lanes % Replicas != 0)
        {
            throw new ArgumentException($"rank {Rank} of {Replicas} with {Lanes} lanes is not possible; the rank must lie below {Replicas}, and the lanes divide among them evenly.");
        }
    }
}
