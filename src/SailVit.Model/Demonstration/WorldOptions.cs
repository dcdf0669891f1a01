namespace SailVit.Model.Demonstration;

/// <summary>How much of the world is made, and how long its models are pretrained.</summary>
public sealed record WorldOptions
{
    /// <summary>Decides everything.</summary>
    public int Seed { get; init; }

    /// <summary>Pictures for the refinement.</summary>
    public int RefinementImages { get; init; } = 9000;

    /// <summary>Pictures for the target training.</summary>
    public int TargetImages { get; init; } = 4000;

    /// <summary>Texts without pictures.</summary>
    public int Texts { get; init; } = 16000;

    /// <summary>Questions of each kind in the held-out test.</summary>
    public int TestQuestions { get; init; } = 90;

    /// <summary>Steps in which the encoder learns from pictures alone.</summary>
    public int EncoderSteps { get; init; } = 400;

    /// <summary>Steps in which each language model learns from texts alone.</summary>
    public int LanguageSteps { get; init; } = 1800;

    /// <summary>The same with a share of everything.</summary>
    /// <param name="share">Above 0, such as 0.01 for a trial.</param>
    /// <exception cref="ArgumentOutOfRangeException">Not above 0.</exception>
    public WorldOptions Scaled(double share)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(share);
        int Part(int whole) => Math.Max(1, (int)Math.Ceiling(whole * share));
        return this with
        {
            // A third of them each for what the first, the first two and the last two stages see.
            RefinementImages = Math.Max(3, Part(RefinementImages)),
            TargetImages = Part(TargetImages),
            Texts = Part(Texts),
            TestQuestions = Part(TestQuestions),
            EncoderSteps = Part(EncoderSteps),
            LanguageSteps = Part(LanguageSteps),
        };
    }
}
