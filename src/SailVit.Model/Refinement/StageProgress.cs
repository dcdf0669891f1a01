using SailVit.Model.Data;
using SailVit.Model.Training;

namespace SailVit.Model.Refinement;

/// <summary>A stage as it will be run.</summary>
/// <param name="Name">Of the stage.</param>
/// <param name="Number">From 1.</param>
/// <param name="Of">Stages in all, those of the target training included.</param>
/// <param name="Steps">Steps of the stage.</param>
/// <param name="FirstStep">Where it goes on; 0 from the beginning.</param>
/// <param name="Parameters">Trained parameters.</param>
/// <param name="AllParameters">Parameters of the model.</param>
/// <param name="Samples">Samples of its data.</param>
public sealed record StagePlan(string Name, int Number, int Of, long Steps, long FirstStep, long Parameters, long AllParameters, long Samples);

/// <summary>A step of a stage, as it is watched.</summary>
/// <param name="Plan">The stage.</param>
/// <param name="Step">What the trainer did.</param>
/// <param name="LearningRates">By part.</param>
/// <param name="TokensPerSecond">Text and image tokens of all replicas.</param>
/// <param name="ImagesPerSecond">Image tiles of all replicas.</param>
/// <param name="Utilization">Model FLOPs of this replica over what its machine can do; null where that is not known.</param>
/// <param name="Remaining">Time that the rest of the stage will take.</param>
public sealed record StageProgress(StagePlan Plan, StepReport Step, IReadOnlyDictionary<string, double> LearningRates, double TokensPerSecond, double ImagesPerSecond, double? Utilization, TimeSpan Remaining);

/// <summary>The end of a stage; also written beside its result.</summary>
/// <param name="Stage">Its name.</param>
/// <param name="Steps">Steps made.</param>
/// <param name="BadSteps">Steps skipped because the loss was not finite, or there was no token to learn.</param>
/// <param name="SkippedSamples">Samples that could not be used, by reason, the first of each named.</param>
public sealed record StageSummary(string Stage, long Steps, int BadSteps, IReadOnlyDictionary<string, SkippedSamples> SkippedSamples);

/// <summary>Watches a run.</summary>
public interface IRefinementObserver
{
    /// <summary>A stage begins or goes on.</summary>
    void Begin(StagePlan plan);

    /// <summary>A step was made.</summary>
    void Step(StageProgress progress);

    /// <summary>A stage is finished, now or, where <paramref name="now"/> is false, by an earlier run.</summary>
    void End(StageSummary summary, bool now);
}
