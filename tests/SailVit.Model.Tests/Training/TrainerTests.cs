using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Distributed;
using SailVit.Model.Training;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Training;

public sealed class TrainerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sailvit-trainer-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private TrainerOptions Options(string name, int steps = 20) => new()
    {
        Schedule = new(ScheduleKind.Cosine, steps, 3, 0.1),
        BatchesPerStep = 2,
        Folder = Path.Combine(_folder, name),
        CheckpointEvery = 5,
        AverageDecay = 0.9,
        AdaLrs = new(3, 3, 2, 0.8, 1e-6),
    };

    /// <summary>Trains to the end, beginning or going on; returns all that a checkpoint holds.</summary>
    private static Dictionary<string, Tensor> Train(TrainerOptions options, ScalarType dtype = ScalarType.Float32, long stopAfter = long.MaxValue, HashSet<long>? bad = null, List<StepReport>? reports = null)
    {
        using var model = new ToyModel(dtype);
        using var optimizer = model.Optimizer();
        using var source = new ToySource { Bad = bad ?? [] };
        using var cancel = new CancellationTokenSource();
        manual_seed(11);
        using var trainer = new Trainer(options, b => b.Pixels is null ? model.Loss(b) : model.Loss(b) * float.NaN, optimizer, source, new SingleReplica());
        trainer.Resume();
        bool ended = trainer.Run(
            r =>
            {
                reports?.Add(r);
                if (r.Step + 1 >= stopAfter)
                {
                    cancel.Cancel();
                }
            },
            cancel.Token);
        Assert.Equal(stopAfter >= options.Schedule.Steps, ended);
        var state = optimizer.State().ToDictionary(s => s.Key, s => s.Value.clone());
        foreach (var (name, average) in trainer.Average ?? new Dictionary<string, Tensor>())
        {
            state.Add("ema." + name, average.clone());
        }
        state.Add("embedding", model.Embedding.detach().clone());
        return state;
    }

    private static void AssertSame(Dictionary<string, Tensor> expected, Dictionary<string, Tensor> actual)
    {
        Assert.Equal(expected.Keys.Order(), actual.Keys.Order());
        Assert.All(expected, e => Assert.Null(Bits.FirstDifference(e.Value, actual[e.Key])));
    }

    [Fact]
    public void RejectedTrial_GivesBackWeightsStateAndAverage()
    {
        using var scope = NewDisposeScope();
        using var model = new ToyModel();
        using var optimizer = model.Optimizer();
        // Falls for three steps, then rises in the trial of a higher rate.
        double[] offsets = [100, 80, 60, 60, 70, 80];
        int calls = 0;
        using var trainer = new Trainer(Options("rejected", offsets.Length), b => model.Loss(b) + offsets[calls++ / 2], optimizer, new ToySource(), new SingleReplica());
        var states = new List<Dictionary<string, Tensor>>();
        var factors = new List<double>();
        Assert.True(trainer.Run(r =>
        {
            factors.Add(r.LearningRateFactor);
            states.Add(optimizer.State().Concat(trainer.Average!.Select(a => new KeyValuePair<string, Tensor>("ema." + a.Key, a.Value))).ToDictionary(t => t.Key, t => t.Value.clone()));
        }));
        Assert.Equal(3, factors[3] / new LearningRateSchedule(ScheduleKind.Cosine, offsets.Length, 3, 0.1).Factor(3), 12);
        Assert.All(states[2], s => Assert.NotNull(Bits.FirstDifference(s.Value, states[4][s.Key])));
        AssertSame(states[2], states[5]);
        Assert.Equal(3, optimizer.Steps);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 7)]
    [InlineData(ScalarType.Float32, 1)]
    [InlineData(ScalarType.Float32, 3)] // the end of warm-up
    [InlineData(ScalarType.Float32, 4)]
    [InlineData(ScalarType.Float32, 19)]
    [InlineData(ScalarType.Float32, 20)] // the end
    [InlineData(ScalarType.BFloat16, 8)]
    public void InterruptedAndResumed_EndsWithTheSameBits(ScalarType dtype, int stopAfter)
    {
        using var scope = NewDisposeScope();
        var whole = Train(Options("whole"), dtype);
        Train(Options("parts"), dtype, stopAfter);
        AssertSame(whole, Train(Options("parts"), dtype));
    }

    /// <summary>Earlier versions kept the copy when the trial had ended.</summary>
    [Fact]
    public void TheCopyOfATrialThatHadEnded_IsNotTakenUp()
    {
        using var scope = NewDisposeScope();
        var options = Options("ended");
        Train(options, stopAfter: 4);
        Assert.NotEmpty(CopiesIn(options, 4));
        string state = Path.Combine(options.Folder, "step-00000004", "replica-0.json"), text = File.ReadAllText(state);
        Assert.Contains("\"factor\":3,\"before\":1,", text, StringComparison.Ordinal);
        File.WriteAllText(state, text.Replace("\"before\":1,", "\"before\":3,", StringComparison.Ordinal));
        Train(options, stopAfter: 5);
        Assert.Empty(CopiesIn(options, 5));
    }

    /// <summary>Earlier versions did not copy the average; a rejected trial would have found that out later.</summary>
    [Fact]
    public void ATrialWithoutItsWholeCopy_IsRefused()
    {
        using var scope = NewDisposeScope();
        var options = Options("average");
        Train(options, stopAfter: 4);
        string path = Path.Combine(options.Folder, "step-00000004", "replica-0.safetensors");
        Dictionary<string, Tensor> tensors;
        using (var file = SafetensorsFile.Open(path))
        {
            tensors = file.Tensors.Keys.Where(name => !name.StartsWith("snapshot.ema.", StringComparison.Ordinal)).ToDictionary(name => name, file.Read);
        }
        SafetensorsWriter.Write(path, tensors);
        Assert.Contains("has no snapshot.ema.embedding to go back to", Assert.Throws<CheckpointException>(() => Train(options)).Message, StringComparison.Ordinal);
    }

    private static List<string> CopiesIn(TrainerOptions options, int step)
    {
        using var file = SafetensorsFile.Open(Path.Combine(options.Folder, $"step-{step:D8}", "replica-0.safetensors"));
        return [.. file.Tensors.Keys.Where(name => name.StartsWith("snapshot.", StringComparison.Ordinal))];
    }

    [Fact]
    public void AnUnfinishedCheckpoint_IsNotSeen()
    {
        using var scope = NewDisposeScope();
        var whole = Train(Options("whole"));
        var options = Options("killed");
        Train(options, stopAfter: 10);
        // As a run killed while it wrote leaves it.
        var folder = Directory.CreateDirectory(Path.Combine(options.Folder, "step-00000015.unfinished"));
        File.WriteAllText(Path.Combine(folder.FullName, "replica-0.json"), "{");
        AssertSame(whole, Train(options));
        Assert.False(folder.Exists && Directory.Exists(folder.FullName));
    }

    [Fact]
    public void AFullDisk_LeavesNothingOfTheCheckpointThatDidNotFit()
    {
        using var scope = NewDisposeScope();
        var folder = new RunFolder(Path.Combine(_folder, "full"));
        // One value, claimed 2⁵⁸ times: no disk has the space.
        Assert.Throws<CheckpointException>(() => folder.Write(new TrainerState { Step = 5 }, new Dictionary<string, Tensor> { ["w"] = zeros(1).expand(1L << 58) }));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void TheLastCheckpointsStay()
    {
        using var scope = NewDisposeScope();
        Train(Options("kept"));
        Assert.Equal([15, 20], new RunFolder(Path.Combine(_folder, "kept")).Checkpoints);
    }

    [Fact]
    public void BadSteps_ChangeNothingAreCountedAndKept()
    {
        using var scope = NewDisposeScope();
        var reports = new List<StepReport>();
        var options = Options("bad") with { AdaLrs = null, AverageDecay = null };
        Train(options, bad: [4, 11], reports: reports);
        Assert.Equal([2, 5], reports.Where(r => r.Skipped).Select(r => r.Step));
        Assert.All(reports, r => Assert.Equal(r.Skipped, !double.IsFinite(r.Loss)));
        using var kept = SafetensorsFile.Open(Path.Combine(options.Folder, "bad-batches", "step-00000002-replica-0-batch-0.safetensors"));
        Assert.Equal("4", kept.Metadata["samples"]);
        var failure = Assert.Throws<TrainingException>(() => Train(Options("hopeless") with { MostBadSteps = 2 }, bad: [0, 2, 4, 6]));
        Assert.Contains("3 steps had no token to learn, or a loss or gradients that are not finite, the last of them step 2", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Batches_CountByTheirWeights()
    {
        // Gradients of three batches in one step are those of their losses' weighted mean.
        using var scope = NewDisposeScope();
        using var model = new ToyModel();
        using var optimizer = model.Optimizer();
        PackedBatch[] batches = [.. Enumerable.Range(0, 3).Select(_ => 0).Select((_, i) => Batch(i))];
        manual_seed(5);
        var weights = Array.ConvertAll(batches, b => b.Weights.sum().item<float>());
        var mean = batches.Select((b, i) => model.Loss(b) * weights[i]).Aggregate((a, b) => a + b) / weights.Sum();
        mean.backward();
        var expected = model.Head.grad!.clone();
        model.Head.grad = model.Embedding.grad = null;

        manual_seed(5);
        var reports = new List<StepReport>();
        using var seen = new MasterAdamW([new("toy", [("head", model.Head)], 0)]);
        using var trainer = new Trainer(new() { Schedule = new(ScheduleKind.Constant, 1), BatchesPerStep = 3, Folder = Path.Combine(_folder, "weights"), ClipNorm = null }, model.Loss, seen, new ToySource(), new SingleReplica());
        trainer.Run(reports.Add);
        Assert.Equal(mean.item<float>(), reports[0].Loss, 1e-5);
        // After the first step the average of gradients is a tenth of the gradient.
        Assert.True((seen.State()["average.head"] * 10).allclose(expected, 1e-4, 1e-6));
        Array.ForEach(batches, b => b.Dispose());
    }

    private static PackedBatch Batch(int number)
    {
        using var source = new ToySource(1, number);
        return source.Next();
    }

    [Fact]
    public void StateOfAnotherModel_IsRefused()
    {
        using var scope = NewDisposeScope();
        Train(Options("other"), stopAfter: 5);
        using var model = new ToyModel();
        using var optimizer = new MasterAdamW([new("toy", [("other", model.Head)], 1)]);
        using var trainer = new Trainer(Options("other"), model.Loss, optimizer, new ToySource(), new SingleReplica());
        Assert.Contains("has no master.other", Assert.Throws<CheckpointException>(() => trainer.Resume()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TrainingLearns()
    {
        using var scope = NewDisposeScope();
        var reports = new List<StepReport>();
        Train(Options("long", steps: 100) with { CheckpointEvery = 1000, AdaLrs = null }, reports: reports);
        Assert.True(reports[^10..].Average(r => r.Loss) < reports[..10].Average(r => r.Loss) - 1);
    }
}
