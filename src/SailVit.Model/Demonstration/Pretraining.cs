using SailVit.Model.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Demonstration;

/// <summary>A plain training loop for the small models that the demonstration begins with.</summary>
internal static class Pretraining
{
    private const double WarmupShare = 0.05, ClipNorm = 1;

    /// <summary>Trains for some steps on a cosine, from one batch each.</summary>
    /// <param name="groups">What is trained.</param>
    /// <param name="steps">How long.</param>
    /// <param name="loss">The loss of a step's batch.</param>
    /// <param name="report">Told of every step.</param>
    /// <param name="cancel">Looked at between steps.</param>
    /// <returns>Mean loss of the last tenth.</returns>
    public static double Run(IReadOnlyList<TrainedGroup> groups, int steps, Func<Tensor> loss, Action<int> report, CancellationToken cancel)
    {
        using var optimizer = new MasterAdamW(groups);
        var schedule = new LearningRateSchedule(ScheduleKind.Cosine, steps, (long)Math.Round(WarmupShare * steps));
        int counted = Math.Max(1, steps / 10);
        double sum = 0;
        for (int step = 0; step < steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var value = loss();
            Kernels.Interop.BackwardException.Run(value);
            optimizer.Accumulate();
            optimizer.ClipGradients(ClipNorm);
            optimizer.Step(schedule.Factor(step));
            sum += step >= steps - counted ? value.item<float>() : 0;
            report(1);
        }
        return sum / counted;
    }
}
