namespace SailVit.Model.Training;

/// <summary>How a run is trained.</summary>
public sealed record TrainerOptions
{
    /// <summary>The learning rate's course; its length is the run's.</summary>
    public required LearningRateSchedule Schedule { get; init; }

    /// <summary>Batches of each replica whose gradients make one step.</summary>
    public int BatchesPerStep { get; init; } = 1;

    /// <summary>Largest 2-norm of all gradients together; null for no clipping.</summary>
    public double? ClipNorm { get; init; } = 1;

    /// <summary>A search for the learning rate on top of the schedule; null for none.</summary>
    public AdaLrsOptions? AdaLrs { get; init; }

    /// <summary>Decay of a moving average of the weights; null for none.</summary>
    public double? AverageDecay { get; init; }

    /// <summary>The run's folder: checkpoints, logs, bad batches.</summary>
    public required string Folder { get; init; }

    /// <summary>Steps between checkpoints; the last step always gets one.</summary>
    public int CheckpointEvery { get; init; } = 500;

    /// <summary>How many checkpoints stay.</summary>
    public int KeepCheckpoints { get; init; } = 2;

    /// <summary>Steps with no token to learn, or a loss or gradient that is not finite, before the run gives up; they are skipped and counted.</summary>
    public int MostBadSteps { get; init; } = 10;

    /// <exception cref="ArgumentException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        Schedule.Validate();
        AdaLrs?.Validate();
        Require(BatchesPerStep >= 1, $"batches per step is {BatchesPerStep}; it must be at least 1.");
        Require(ClipNorm is null or > 0, $"the clipping norm is {ClipNorm}; it must be positive, or absent.");
        Require(AverageDecay is null or (> 0 and < 1), $"the moving average's decay is {AverageDecay}; it must be between 0 and 1, or absent.");
        Require(CheckpointEvery >= 1 && KeepCheckpoints >= 1, $"a checkpoint every {CheckpointEvery} steps, {KeepCheckpoints} kept: both must be at least 1.");
        Require(MostBadSteps >= 0, $"the limit of bad steps is {MostBadSteps}; it must not be negative.");
    }

    private static void Require(bool holds, string problem)
    {
        if (!holds)
        {
            throw new ArgumentException(problem);
        }
    }
}

/// <summary>What one step did.</summary>
/// <param name="Step">From 0.</param>
/// <param name="Loss">Σ w·CE / Σ w over all batches of all replicas; NaN where Σ w is 0.</param>
/// <param name="LearningRateFactor">On every group's rate.</param>
/// <param name="GradientNorm">Before clipping.</param>
/// <param name="Skipped">There was no token to learn, or the loss or the gradients were not finite; nothing was changed.</param>
/// <param name="Tokens">Of all replicas, padding-free.</param>
/// <param name="Tiles">Image tiles of all replicas.</param>
/// <param name="Samples">Of all replicas.</param>
/// <param name="Seconds">Wall time.</param>
public sealed record StepReport(long Step, double Loss, double LearningRateFactor, double GradientNorm, bool Skipped, double Tokens, double Tiles, double Samples, double Seconds);

/// <summary>How far a run is; written into checkpoints.</summary>
public sealed record TrainerState
{
    /// <summary>Steps done, skipped ones included: the number of the next.</summary>
    public long Step { get; init; }

    /// <summary>Steps that the optimizer made.</summary>
    public long OptimizerSteps { get; init; }

    /// <summary>Skipped steps.</summary>
    public int BadSteps { get; init; }

    /// <summary>How many replicas wrote the checkpoint, each its part.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Where this replica's data stands.</summary>
    public string Data { get; init; } = "";

    /// <summary>State of torch's generator.</summary>
    public byte[] Random { get; init; } = [];

    /// <summary>The learning-rate search; null without one.</summary>
    public AdaLrsState? AdaLrs { get; init; }
}
