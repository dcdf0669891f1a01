using System.Diagnostics;
using SailVit.Model.Checkpoints;
using SailVit.Model.Distributed;
using SailVit.Model.Tests.Training;
using SailVit.Model.Training;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Distributed;

/// <summary>Runs this test program again under mpirun; each rank runs one method of <see cref="Ranks"/>.</summary>
public sealed class MpiTests : IDisposable
{
    private const string FolderVariable = "SAILVIT_TEST_FOLDER", ShardVariable = "SAILVIT_TEST_SHARD";

    private readonly string _folder = Directory.CreateTempSubdirectory("sailvit-mpi-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static TrainerOptions Options(string folder, int replicas) => new()
    {
        Schedule = new(ScheduleKind.Cosine, 12, 2),
        BatchesPerStep = 4 / replicas,
        Folder = folder,
        CheckpointEvery = 6,
        AverageDecay = 0.9,
        AdaLrs = new(3, 3, 2, 0.8, 1e-3),
    };

    /// <summary>Trains on batches rank, rank + count, …: together those of one process. In step 1 the odd ranks have nothing to learn, in
    /// step 2 nobody has; the checkpoint at step 6 lies in a trial of AdaLRS.</summary>
    internal static Dictionary<string, Tensor> Train(string folder, IReplicas replicas, bool shard, ScalarType dtype = ScalarType.Float32, Action<StepReport>? report = null)
    {
        using var model = new ToyModel(dtype) { Noise = false };
        using var optimizer = new MasterAdamW([new("toy", [("embedding", model.Embedding), ("head", model.Head)], 0.02, 0.01)], shards: shard ? replicas : null);
        using var source = new ToySource(replicas.Count, replicas.Rank) { Unlearned = [5, 7, 8, 9, 10, 11] };
        using var trainer = new Trainer(Options(folder, replicas.Count), model.Loss, optimizer, source, replicas);
        trainer.Resume();
        Assert.True(trainer.Run(report));
        Assert.Equal(1, trainer.BadSteps);
        return new() { ["embedding"] = model.Embedding.detach().clone(), ["head"] = model.Head.detach().clone() };
    }

    private static (int Code, string Output) Launch(int ranks, string method, bool shard, string folder)
    {
        string program = Path.ChangeExtension(typeof(MpiTests).Assembly.Location, null);
        var environment = new Dictionary<string, string?>
        {
            [FolderVariable] = folder,
            [ShardVariable] = shard ? "1" : "",
            // More ranks than cores, each with spinning threads of its own, would hardly move.
            ["OMP_NUM_THREADS"] = "1",
        };
        var (exit, output, error) = Mpirun.Run(ranks, [program, "-method", $"{typeof(Ranks).FullName}.{method}", "-explicit", "only"], environment);
        return (exit, output + error);
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(4, false)]
    [InlineData(2, true)]
    [InlineData(4, true)]
    public void Ranks_EndWhereOneProcessEnds(int ranks, bool shard)
    {
        using var scope = NewDisposeScope();
        using var alone = new SingleReplica();
        var expected = Train(Path.Combine(_folder, "alone"), alone, shard: false);
        var (code, output) = Launch(ranks, nameof(Ranks.TrainRank), shard, Path.Combine(_folder, "ranks"));
        Assert.True(code == 0, output);
        for (int rank = 0; rank < ranks; rank++)
        {
            using var file = SafetensorsFile.Open(Path.Combine(_folder, "ranks", $"result-{rank}.safetensors"));
            foreach (var (name, value) in expected)
            {
                // Sums over batches are grouped otherwise than in one process.
                double error = ((file.Read(name) - value).norm() / value.norm()).item<float>();
                Assert.True(error < 1e-5, $"rank {rank}, {name}: {error}");
                using var first = SafetensorsFile.Open(Path.Combine(_folder, "ranks", "result-0.safetensors"));
                Assert.Null(Bits.FirstDifference(first.Read(name), file.Read(name)));
            }
        }
    }

    [Fact]
    public void ADeadRank_EndsTheJob_AndItGoesOnFromTheCheckpoint()
    {
        using var scope = NewDisposeScope();
        string folder = Path.Combine(_folder, "dead");
        var (code, output) = Launch(2, nameof(Ranks.TrainAndDie), true, folder);
        Assert.NotEqual(0, code);
        Assert.Equal([6], new RunFolder(folder).Checkpoints);
        (code, output) = Launch(2, nameof(Ranks.TrainRank), true, folder);
        Assert.True(code == 0, output);
        using var alone = new SingleReplica();
        var expected = Train(Path.Combine(_folder, "alone"), alone, shard: false);
        using var file = SafetensorsFile.Open(Path.Combine(folder, "result-1.safetensors"));
        Assert.True(((file.Read("head") - expected["head"]).norm() / expected["head"].norm()).item<float>() < 1e-5);
    }

    [Fact]
    public void Collectives_AreExact()
    {
        var (code, output) = Launch(3, nameof(Ranks.Collectives), false, _folder);
        Assert.True(code == 0, output);
    }

    /// <summary>What the ranks do; run by mpirun only.</summary>
    public sealed class Ranks
    {
        private static string Folder => Environment.GetEnvironmentVariable(FolderVariable)!;

        private static bool Shard => Environment.GetEnvironmentVariable(ShardVariable) == "1";

        [Fact(Explicit = true)]
        public void TrainRank()
        {
            using var scope = NewDisposeScope();
            using var replicas = ReplicaJob.Join();
            var result = Train(Folder, replicas, Shard);
            SafetensorsWriter.Write(Path.Combine(Folder, $"result-{replicas.Rank}.safetensors"), result);
            replicas.Complete();
        }

        [Fact(Explicit = true)]
        public void TrainAndDie()
        {
            using var scope = NewDisposeScope();
            using var replicas = ReplicaJob.Join();
            Train(Folder, replicas, Shard, report: step =>
            {
                if (step.Step == 8 && replicas.Rank == 1)
                {
                    Process.GetCurrentProcess().Kill();
                }
            });
        }

        [Fact(Explicit = true)]
        public void Collectives()
        {
            using var scope = NewDisposeScope();
            using var replicas = ReplicaJob.Join();
            Assert.Equal(3, replicas.Count);
            // Small, cut by a bucket's end, larger than a bucket, empty.
            long[] sizes = [5, 1 << 20, 3_000_001, 0, 1];
            Tensor Of(long size, int rank) => arange(size, dtype: float32).remainder(1009).add(rank * 0.3f);
            var tensors = Array.ConvertAll(sizes, s => Of(s, replicas.Rank));
            replicas.AllReduceSum(tensors);
            for (int i = 0; i < sizes.Length; i++)
            {
                Assert.Null(Bits.FirstDifference(Of(sizes[i], 0) + Of(sizes[i], 1) + Of(sizes[i], 2), tensors[i]));
            }
            Assert.Equal(0.1 + 1.1 + 2.1, replicas.Sum(0.1 + replicas.Rank), 1e-15);
            var sent = full([1000], replicas.Rank, bfloat16);
            replicas.Broadcast([sent], 2);
            Assert.Equal(2, sent[999].to(float32).item<float>());
            Assert.Throws<ArgumentException>(() => replicas.AllReduceSum([ones(2, 3).t()]));
            replicas.Barrier();
            replicas.Complete();
        }
    }
}
