namespace SailVit.Model.Evaluation;

/// <summary>What is trained on frozen features.</summary>
public enum ProbeKind
{
    /// <summary>Mean of the tokens, two layers: the SAIL-VL2 report's probe.</summary>
    Mlp,

    /// <summary>Mean of the tokens, one layer.</summary>
    Linear,

    /// <summary>A learned query attends to all tokens: AIM's probe.</summary>
    Attentive,

    /// <summary>No training: the classes of the nearest training images vote.</summary>
    Nearest,
}

/// <summary>Settings of a probe. The report states the two layers and 10 epochs; the rest is this project's choice.</summary>
public sealed record ProbeOptions
{
    /// <summary>Which one.</summary>
    public ProbeKind Kind { get; init; } = ProbeKind.Mlp;

    /// <summary>Passes over the training set.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Images per step.</summary>
    public int BatchSize { get; init; } = 256;

    /// <summary>AdamW's rate, falling as a cosine.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>AdamW's decay.</summary>
    public double WeightDecay { get; init; } = 0.05;

    /// <summary>Width between the two layers; 0 for the features' own.</summary>
    public int Hidden { get; init; }

    /// <summary>Heads of the attentive probe.</summary>
    public int Heads { get; init; } = 8;

    /// <summary>k of the nearest neighbours.</summary>
    public int Neighbours { get; init; } = 20;

    /// <summary>Of initial weights and order.</summary>
    public int Seed { get; init; }

    /// <summary>Throws where nothing can be trained so.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        if (Epochs < 1 || BatchSize < 1 || !(LearningRate > 0 && double.IsFinite(LearningRate)) || !(WeightDecay >= 0 && double.IsFinite(WeightDecay)) || Hidden < 0 || Heads < 1 || Neighbours < 1)
        {
            throw new ArgumentException($"A probe of {Epochs} epochs, batch size {BatchSize}, learning rate {LearningRate}, weight decay {WeightDecay}, hidden width {Hidden}, {Heads} heads and {Neighbours} neighbours cannot be made; all must be positive, or 0 for weight decay and hidden width.");
        }
    }
}
