using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Distributed;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using SailVit.Model.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Refinement;

/// <summary>One stage, from the model before it to the model after it.</summary>
internal sealed class StageRun(Recipe recipe, StageRecipe stage, StageFolder folder, int seed, IReplicas replicas, double? peakFlops)
{
    /// <summary>Where the encoder of the stage's result is saved alone; null: nowhere.</summary>
    public string? EncoderFolder { get; init; }

    /// <summary>Runs the stage, unless it is finished.</summary>
    /// <returns>Whether it is finished now.</returns>
    public bool Run(string start, (int Number, int Of) place, IRefinementObserver? observer, CancellationToken cancel)
    {
        if (replicas.Rank == 0)
        {
            folder.Open(stage, seed);
        }
        replicas.Barrier();
        if (folder.Summary is { } before)
        {
            if (replicas.Rank == 0)
            {
                folder.DropCheckpoints();
            }
            observer?.End(before, now: false);
            return true;
        }
        if (stage.Batch % replicas.Count != 0)
        {
            throw new RecipeException($"Stage '{stage.Name}' has {stage.Batch} packs per step; they cannot be shared evenly by {replicas.Count} processes.");
        }
        using var model = MultimodalModel.Load(start, stage.Precision);
        using var data = new StageData(stage, seed, model.Config, Tokenizers.Load(start), replicas);
        using var optimizer = new MasterAdamW(TrainedParts.Apply(model, stage), stage.Beta1, stage.Beta2, stage.Eps, stage.ShardOptimizer ? replicas : null);
        random.manual_seed(seed);
        var flops = new ModelFlops(model.Config, stage.VisionRate is not null, stage.ConnectorRate is not null, stage.LanguageRate is not null);
        double made = 0;
        long steps = stage.Steps ?? Steps(data);
        using var trainer = new Trainer(Options(steps), Loss, optimizer, data, replicas, replicas.Count > 1 ? model.BackwardOrder() : null);
        model.WatchBackward(replicas.Count > 1 ? trainer.BackwardPassed : null);
        trainer.Resume();
        var plan = new StagePlan(stage.Name, place.Number, place.Of, steps, trainer.Step, optimizer.ParameterCount, model.parameters().Sum(p => p.numel()), data.Samples);
        observer?.Begin(plan);
        if (!Train(trainer, plan, optimizer.Groups, () => Interlocked.Exchange(ref made, 0), observer, cancel))
        {
            return false;
        }
        if (trainer.Average is { } average)
        {
            optimizer.Replace(average);
        }
        Finish(model, trainer, data.Skips, observer);
        return true;

        Tensor Loss(PackedBatch batch)
        {
            made += flops.Of(batch);
            return model.Loss(batch);
        }
    }

    private bool Train(Trainer trainer, StagePlan plan, IReadOnlyList<TrainedGroup> groups, Func<double> flops, IRefinementObserver? observer, CancellationToken cancel)
    {
        using var log = replicas.Rank == 0 ? new MetricsLog(folder.Path, trainer.Step) : null;
        double pace = 0;
        return trainer.Run(step =>
        {
            // The first steps of a run are slower than the rest; they are forgotten soon.
            pace = pace == 0 ? step.Seconds : (0.9 * pace) + (0.1 * step.Seconds);
            var progress = new StageProgress(plan, step, groups.ToDictionary(g => g.Name, g => g.LearningRate * step.LearningRateFactor),
                step.Tokens / step.Seconds, step.Tiles / step.Seconds, flops() / step.Seconds / peakFlops, TimeSpan.FromSeconds(pace * (plan.Steps - step.Step - 1)));
            log?.Add(progress);
            observer?.Step(progress);
        }, cancel);
    }

    private void Finish(MultimodalModel model, Trainer trainer, SkipLog skips, IRefinementObserver? observer)
    {
        var summary = new StageSummary(stage.Name, trainer.Step, trainer.BadSteps, Skipped(skips));
        if (replicas.Rank == 0)
        {
            model.Save(folder.Model);
            if (EncoderFolder is not null)
            {
                CheckpointWriter.Save(model.Vision, EncoderFolder);
            }
            folder.Finish(summary);
        }
        replicas.Barrier();
        observer?.End(summary, now: true);
    }

    // Counts of all replicas, each of which sees its own samples; the first process names its own.
    private Dictionary<string, SkippedSamples> Skipped(SkipLog skips) => Enum.GetValues<SkipReason>()
        .Select(reason => (Name: reason.ToString(), Own: skips.Reasons.GetValueOrDefault(reason) ?? new(0, [])))
        .Select(skipped => (skipped.Name, Sum: skipped.Own with { Count = (long)replicas.Sum(skipped.Own.Count) }))
        .Where(skipped => skipped.Sum.Count > 0).ToDictionary(skipped => skipped.Name, skipped => skipped.Sum);

    // Packs make up steps of a fixed number.
    private long Steps(StageData data) => Math.Max(1, (data.Packs(stage.Epochs!.Value) + stage.Batch - 1) / stage.Batch);

    private TrainerOptions Options(long steps) => new()
    {
        Schedule = new(stage.Schedule, steps, (long)Math.Round(stage.WarmupRatio * steps), stage.LeastFactor),
        BatchesPerStep = stage.Batch / replicas.Count,
        ClipNorm = stage.ClipNorm,
        AdaLrs = stage.AdaLrs,
        AverageDecay = stage.AverageDecay,
        Folder = folder.Path,
        CheckpointEvery = recipe.CheckpointEvery,
        KeepCheckpoints = recipe.KeepCheckpoints,
        MostBadSteps = recipe.MostBadSteps,
    };
}
