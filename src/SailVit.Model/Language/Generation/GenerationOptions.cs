namespace SailVit.Model.Language;

/// <summary>How answers are written.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens of an answer.</summary>
    public int MaxNewTokens { get; init; } = 512;

    /// <summary>Divides the scores before they become probabilities; 0: always the most likely token.</summary>
    public double Temperature { get; init; }

    /// <summary>Draws from the most likely tokens that together have this probability; 1: from all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Draws from so many of the most likely tokens; 0: from all.</summary>
    public int TopK { get; init; }

    /// <summary>Positive scores of tokens that prompt or answer hold are divided by it, negative ones multiplied; 1: not at all.</summary>
    /// <remarks>Source: Keskar et al. 2019 (CTRL), as transformers applies it.</remarks>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>Seeds the draws; those of prompt i of a call follow from it and i.</summary>
    public int Seed { get; init; }

    /// <summary>Tokens that end an answer; they are part of it.</summary>
    public IReadOnlyCollection<int> StopIds { get; init; } = [];

    /// <summary>Throws when no answer can be written so.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message begins with its name.</exception>
    public void Validate()
    {
        Require(MaxNewTokens >= 1, $"MaxNewTokens is {MaxNewTokens}; it must be at least 1.");
        Require(Temperature >= 0 && double.IsFinite(Temperature), $"Temperature is {Temperature}; it must be 0 (always the most likely token) or a positive number.");
        Require(TopP is > 0 and <= 1, $"TopP is {TopP}; it must be above 0, at most 1.");
        Require(TopK >= 0, $"TopK is {TopK}; it must be 0 (all) or positive.");
        Require(RepetitionPenalty > 0 && double.IsFinite(RepetitionPenalty), $"RepetitionPenalty is {RepetitionPenalty}; it must be a positive number, 1 for none.");
    }

    private static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new ArgumentException(message);
        }
    }
}

/// <summary>Why an answer ended.</summary>
public enum StopReason
{
    /// <summary>With one of the stop tokens.</summary>
    StopToken,

    /// <summary>After <see cref="GenerationOptions.MaxNewTokens"/>.</summary>
    Length,
}

/// <summary>An answer.</summary>
/// <param name="Ids">Its tokens, the stop token included.</param>
/// <param name="Reason">Why it ended.</param>
public sealed record GeneratedSequence(IReadOnlyList<int> Ids, StopReason Reason);
