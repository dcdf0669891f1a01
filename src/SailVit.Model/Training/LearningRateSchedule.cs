namespace SailVit.Model.Training;

/// <summary>How the learning rate moves after warm-up.</summary>
public enum ScheduleKind
{
    /// <summary>Half a cosine from the full rate to the least.</summary>
    Cosine,

    /// <summary>The full rate throughout.</summary>
    Constant,

    /// <summary>A straight line from the full rate to the least.</summary>
    Linear,
}

/// <summary>The learning rate's course as a factor on each group's own rate.</summary>
/// <remarks>
/// From the end of warm-up on, that of Hugging Face transformers (<c>get_cosine_with_min_lr_schedule_with_warmup</c>,
/// <c>get_linear_schedule_with_warmup</c>), with which InternVL trains: step s has the factor of the time s / Steps, at which it
/// begins. So the least factor is that of the end, one step behind the last. During warm-up it is one step ahead of theirs,
/// whose first step has a rate of 0 and changes nothing.
/// </remarks>
/// <param name="Kind">Shape after warm-up.</param>
/// <param name="Steps">Steps in all.</param>
/// <param name="WarmupSteps">Steps of linear growth from 0; step 0 already has 1 / WarmupSteps of the rate.</param>
/// <param name="LeastFactor">What a falling schedule comes to at step <paramref name="Steps"/>, the first that is not made.</param>
public sealed record LearningRateSchedule(ScheduleKind Kind, long Steps, long WarmupSteps = 0, double LeastFactor = 0)
{
    /// <summary>The factor of step <paramref name="step"/>, from 0. Beyond the end it stays at the last one.</summary>
    public double Factor(long step)
    {
        if (step < WarmupSteps)
        {
            return (step + 1.0) / WarmupSteps;
        }
        long falling = Math.Max(1, Steps - WarmupSteps);
        double done = Math.Clamp((double)(step - WarmupSteps) / falling, 0, 1);
        return Kind switch
        {
            ScheduleKind.Cosine => LeastFactor + ((1 - LeastFactor) * 0.5 * (1 + Math.Cos(Math.PI * done))),
            ScheduleKind.Linear => 1 - ((1 - LeastFactor) * done),
            _ => 1,
        };
    }

    /// <summary>Throws when no training can have these values.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        Require(Steps > 0, $"a schedule of {Steps} steps has no end; it needs at least 1.");
        Require(WarmupSteps >= 0 && WarmupSteps <= Steps, $"a warm-up of {WarmupSteps} steps does not fit into {Steps}.");
        Require(LeastFactor is >= 0 and <= 1, $"the least factor is {LeastFactor}; it must be 0 to 1.");
    }

    private static void Require(bool holds, string problem)
    {
        if (!holds)
        {
            throw new ArgumentException(problem);
        }
    }
}
