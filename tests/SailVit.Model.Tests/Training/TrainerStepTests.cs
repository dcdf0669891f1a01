using System.Globalization;
using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Distributed;
using SailVit.Model.Training;
using SailVit.Testing;
using TorchSharp;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Training;

/// <summary>What one step of the trainer does, against the same in doubles.</summary>
public sealed class TrainerStepTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sailvit-step-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private TrainerOptions Options(int steps) => new()
    {
        Schedule = new(ScheduleKind.Cosine, steps, 5, 0.1),
        BatchesPerStep = 2,
        Folder = Path.Combine(_folder, "run"),
    };

    private static double[] Doubles(Tensor tensor) => tensor.detach().to(float64).data<double>().ToArray();

    private static double Furthest(double[] expected, Tensor actual) => Doubles(actual).Zip(expected, (a, e) => Math.Abs(a - e)).Max();

    /// <summary>Forty steps, one of them skipped, from a start and from a resumed checkpoint.</summary>
    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Average_FollowsItsRecurrence_OverASkipAndAResume(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var exact = new Dictionary<string, double[]>();
        int compared = 0;
        foreach (long stop in new[] { 17L, 40 })
        {
            using var model = new ToyModel(dtype);
            using var optimizer = model.Optimizer();
            using var source = new ToySource { Bad = [19] };
            using var cancel = new CancellationTokenSource();
            using var trainer = new Trainer(Options(40) with { AverageDecay = 0.6 }, b => b.Pixels is null ? model.Loss(b) : model.Loss(b) * float.NaN, optimizer, source, new SingleReplica());
            Assert.Equal(stop == 40, trainer.Resume());
            trainer.Run(
                report =>
                {
                    // 2/11, 3/12, … at first; 0.6 from the 13th step that was made.
                    double made = optimizer.Steps, decay = Math.Min(0.6, (1 + made) / (10 + made));
                    foreach (var (name, master) in optimizer.Masters)
                    {
                        var before = exact.GetValueOrDefault(name) ?? Doubles(name == "head" ? new ToyModel(dtype).Head : new ToyModel(dtype).Embedding);
                        exact[name] = report.Skipped ? before : [.. before.Zip(Doubles(master), (a, w) => (decay * a) + ((1 - decay) * w))];
                        Assert.InRange(Furthest(exact[name], trainer.Average![name]), 0, 1e-6);
                        compared++;
                    }
                    if (report.Step + 1 == stop)
                    {
                        cancel.Cancel();
                    }
                },
                cancel.Token);
            Assert.Equal(stop - 1, optimizer.Steps);
        }
        Assert.Equal(80, compared);
    }

    /// <summary>Thirty clipped steps on ½ ‖w − c‖², where c changes from batch to batch: the trainer's shares, sum, clipping, schedule and
    /// AdamW, against the same in doubles.</summary>
    [Fact]
    public void ClippedSteps_FollowFloat64()
    {
        using var scope = NewDisposeScope();
        double[] w = [1, -2, 0.5, 0.25, -0.75, 3], m = new double[6], v = new double[6];
        Parameter parameter = nn.Parameter(tensor(w).reshape(2, 3).to(float32));
        using var optimizer = new MasterAdamW([new("one", [("p", parameter)], 0.01, 0.1)]);
        var options = Options(30) with { ClipNorm = 2.5 };
        var seen = new List<(double Weight, double[] Target)>();
        using var trainer = new Trainer(options, Loss, optimizer, new ToySource(), new SingleReplica());
        int clipped = 0;
        trainer.Run(report =>
        {
            double all = seen.Sum(s => s.Weight);
            double[] g = [.. w.Select((x, i) => seen.Sum(s => s.Weight / all * (x - s.Target[i])))];
            double norm = Math.Sqrt(g.Sum(x => x * x)), scale = Math.Min(1, 2.5 / norm);
            Assert.Equal(norm, report.GradientNorm, 1e-5);
            Assert.Equal(seen.Sum(s => s.Weight / all * 0.5 * s.Target.Zip(w, (c, x) => (x - c) * (x - c)).Sum()), report.Loss, 1e-5);
            clipped += scale < 1 ? 1 : 0;
            double rate = 0.01 * options.Schedule.Factor(report.Step), t = report.Step + 1;
            for (int i = 0; i < 6; i++)
            {
                double x = g[i] * scale;
                m[i] = (0.9 * m[i]) + (0.1 * x);
                v[i] = (0.999 * v[i]) + (0.001 * x * x);
                w[i] -= rate * ((0.1 * w[i]) + (m[i] / (1 - Math.Pow(0.9, t)) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.999, t))) + 1e-8)));
            }
            Assert.InRange(Furthest(w, parameter), 0, 2e-6);
            seen.Clear();
        });
        Assert.InRange(clipped, 10, 29);

        Tensor Loss(PackedBatch batch)
        {
            long number = long.Parse(batch.SampleIds[0], CultureInfo.InvariantCulture);
            double[] target = [.. Enumerable.Range(0, 6).Select(i => ((((number * 7) + (i * 5)) % 31) - 15) / 8.0)];
            seen.Add((Doubles(batch.Weights).Sum(), target));
            using Scalar half = 0.5;
            return (parameter - tensor(target).reshape(2, 3).to(float32)).square().sum().mul(half);
        }
    }

    /// <summary>Every finite float32 gradient has a norm: squares in float32 would overflow above 1.8e19 and vanish below 1e-23.</summary>
    [Theory]
    [InlineData(1e20, 1)]
    [InlineData(3e38, 1e37)]
    [InlineData(3e38, 1)] // a factor that float32 has no digits for
    [InlineData(1e-30, 1e-31)]
    [InlineData(1, 0.05)]
    public void Clipping_IsRightForAnyFiniteGradients(double size, double limit)
    {
        using var scope = NewDisposeScope();
        // Longer than one part of the sum, and no multiple of a vector.
        Parameter matrix = nn.Parameter(zeros(257, 1025)), vector = nn.Parameter(zeros(7)), unused = nn.Parameter(zeros(3));
        using var optimizer = new MasterAdamW([new("all", [("matrix", matrix), ("vector", vector), ("unused", unused)], 1)]);
        using Scalar held = size;
        var gradients = new[] { (rand(matrix.shape, generator: new Generator(1)) * held).to(float32), full(7, size, dtype: float32) };
        matrix.backward([gradients[0]]);
        vector.backward([gradients[1].clone()]);
        optimizer.Accumulate();
        double norm = Math.Sqrt(gradients.Sum(g => Doubles(g).Sum(x => x * x)));
        Assert.Equal(1, optimizer.ClipGradients(limit) / norm, 1e-12);
        Assert.Equal(1, optimizer.ClipGradients(null) / limit, 1e-6);
        // Two roundings at most of a factor, and of a product.
        using Scalar exact = limit / norm, unit = norm / limit / size;
        var expected = gradients[0].to(float64) * exact;
        Assert.InRange(((optimizer.Gradient(0).to(float64) - expected) * unit).abs().max().item<double>(), 0, 4 * 6e-8);
    }

    [Fact]
    public void Norm_OfGradientsThatAreNotFinite_IsNotFinite()
    {
        using var scope = NewDisposeScope();
        Parameter parameter = nn.Parameter(zeros(9));
        using var optimizer = new MasterAdamW([new("all", [("p", parameter)], 1)]);
        foreach (float bad in new[] { float.PositiveInfinity, float.NaN })
        {
            parameter.backward([full(9, bad, dtype: float32)]);
            optimizer.Accumulate();
            Assert.False(double.IsFinite(optimizer.ClipGradients(1)));
            optimizer.DropGradients();
        }
    }

    [Fact]
    public void AStepWithoutATokenToLearn_ChangesNothingAndIsCounted()
    {
        using var scope = NewDisposeScope();
        using var model = new ToyModel();
        using var optimizer = model.Optimizer();
        using var source = new ToySource { Unlearned = [4, 5, 8] };
        using var trainer = new Trainer(Options(10) with { AverageDecay = 0.9 }, model.Loss, optimizer, source, new SingleReplica());
        var states = new List<Dictionary<string, Tensor>>();
        var reports = new List<StepReport>();
        trainer.Run(report =>
        {
            reports.Add(report);
            states.Add(optimizer.State().Concat(trainer.Average!).ToDictionary(t => t.Key, t => t.Value.clone()));
        });
        // Batches 4 and 5 make up step 2; batch 8 shares step 4 with another.
        Assert.Equal([2], reports.Where(r => r.Skipped).Select(r => r.Step));
        Assert.True(double.IsNaN(reports[2].Loss) && double.IsFinite(reports[4].Loss));
        Assert.All(states[1], s => Assert.Null(Bits.FirstDifference(s.Value, states[2][s.Key])));
        Assert.Equal((1, 9), (trainer.BadSteps, optimizer.Steps));
        Assert.Equal(2, Directory.GetFiles(Path.Combine(_folder, "run", "bad-batches"), "step-00000002-*").Length);
    }

    [Fact]
    public void PositionsAndClassToken_DoNotDecay()
    {
        using var scope = NewDisposeScope();
        string[] names = ["norm", "positions", "class", "matrix", "row", "kernel"];
        long[][] shapes = [[4], [1, 3, 4], [1, 1, 4], [3, 4], [1, 4], [2, 3, 2, 2]];
        var parameters = shapes.Select(shape => nn.Parameter(ones(shape))).ToList();
        using var optimizer = new MasterAdamW([new("all", [.. names.Zip(parameters)], 0.5, 0.1)]);
        optimizer.Step(1);
        Assert.Equal(["matrix", "row", "kernel"], names.Where((_, i) => Math.Abs(parameters[i].detach().mean().item<float>() - 0.95) < 1e-6));
        Assert.Equal(["norm", "positions", "class"], names.Where((_, i) => parameters[i].detach().mean().item<float>() == 1));
    }

    /// <summary>The copy of weights, moments and average lives as long as the trial that may need it.</summary>
    [Theory]
    [InlineData(new double[] { 10, 9, 8, 6, 4, 2, 1, 0.5, 0.2 })]
    [InlineData(new double[] { 10, 9, 8, 7, 6, 5, 4, 3, 2 })]
    [InlineData(new double[] { 10, 9, 8, 8, 9, 9.5, 9, 8.8, 8.6 })]
    public void TheCopyOfATrial_EndsWithIt(double[] losses)
    {
        using var scope = NewDisposeScope();
        using var model = new ToyModel();
        using var optimizer = model.Optimizer(rate: 0);
        int calls = 0;
        var options = Options(8) with { AdaLrs = new(3, 3, 2, 0.8, 1e-3), CheckpointEvery = 1, KeepCheckpoints = 8, AverageDecay = 0.5 };
        // The value alone counts here: a loss that falls as told.
        using var trainer = new Trainer(options, b => (model.Loss(b) * 0) + (losses[calls++ / 2] * 100), optimizer, new ToySource(), new SingleReplica());
        trainer.Run();
        bool[] held = [.. Enumerable.Range(1, 8).Select(step =>
        {
            using var file = SafetensorsFile.Open(Path.Combine(options.Folder, $"step-{step:D8}", "replica-0.safetensors"));
            return file.Tensors.Keys.Any(name => name.StartsWith("snapshot.", StringComparison.Ordinal));
        })];
        Assert.Equal([false, false, true, true, true, false, false, false], held);
    }

    [Fact]
    public void AFinishedRun_StartedAgain_DoesNothing()
    {
        using var scope = NewDisposeScope();
        var bits = new List<Dictionary<string, Tensor>>();
        var written = new List<DateTime>();
        var reports = new List<StepReport>();
        for (int time = 0; time < 2; time++)
        {
            using var model = new ToyModel();
            using var optimizer = model.Optimizer();
            using var trainer = new Trainer(Options(6) with { AverageDecay = 0.5 }, model.Loss, optimizer, new ToySource(), new SingleReplica());
            Assert.Equal(time == 1, trainer.Resume());
            Assert.True(trainer.Run(reports.Add));
            Assert.Equal(6, trainer.Step);
            bits.Add(optimizer.State().Concat(trainer.Average!).ToDictionary(t => t.Key, t => t.Value.clone()));
            written.Add(File.GetLastWriteTimeUtc(Path.Combine(_folder, "run", "step-00000006", "replica-0.safetensors")));
        }
        Assert.Equal(6, reports.Count);
        Assert.Equal(written[0], written[1]);
        Assert.All(bits[0], s => Assert.Null(Bits.FirstDifference(s.Value, bits[1][s.Key])));
    }
}
