using System.Diagnostics;
using SailVit.Model.Checkpoints;
using SailVit.Model.Refinement;
using SailVit.Model.Tests.Cli;
using SailVit.Model.Tests.Distributed;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Refinement;

/// <summary><c>mpirun sailvit refine</c>, as its users run it.</summary>
public sealed class ReplicatedRefineTests
{
    private const int Kill = 9, PoliteKill = 15, Interrupted = 130;

    // Four packs a step, so that one, two and four processes can share them. With Adam's own eps, a gradient that is zero but for
    // rounding would make a step like any other, and runs that differ in rounding would part.
    private static string Recipe(string more = "", int lastSteps = 4) => ToyRecipe.Text(defaults: "precision: float32\neps: 1e-3\nema: 0.5\n" + more)
        .Replace("batch: 2", "batch: 4", StringComparison.Ordinal).Replace("name: world,", $"name: world, steps: {lastSteps},", StringComparison.Ordinal);

    private static (int Exit, string Out, string Error) Refine(int ranks, string recipe, string output, Action<Process>? meanwhile = null) =>
        Mpirun.Run(ranks, ["dotnet", Sailvit.Library, "refine", "--recipe", recipe, "--output", output], meanwhile: meanwhile);

    [Theory]
    [InlineData(2, "shard_optimizer: true")]
    [InlineData(4, "shard_optimizer: false\nadalrs: { window: 2, alpha: 3, beta: 2 }")]
    public void Ranks_EndWhereOneProcessEnds(int ranks, string more)
    {
        using var folder = new TempFolder();
        string recipe = folder.Write("toy.yaml", Recipe(more)), one = folder.File("one"), many = folder.File("many");
        var (exit, expected, error) = Sailvit.Run("refine", "--recipe", recipe, "--output", one);
        Assert.True(exit == 0, error);
        (exit, string output, error) = Refine(ranks, recipe, many);
        Assert.True(exit == 0, error);
        Assert.Equal(expected.Replace(one, many, StringComparison.Ordinal), output[output.IndexOf("coarse: ", StringComparison.Ordinal)..].ReplaceLineEndings("\n"));
        Assert.Single(error.Split('\n'), line => line.StartsWith("world: finished", StringComparison.Ordinal));
        foreach (string stage in (string[])["1-coarse", "2-fine", "3-world"])
        {
            AssertClose(Path.Combine(one, stage, "model"), Path.Combine(many, stage, "model"));
            Assert.Equal(File.ReadAllText(Path.Combine(one, stage, "summary.json")), File.ReadAllText(Path.Combine(many, stage, "summary.json")));
            var losses = MetricsLog.Read(Path.Combine(many, stage)).Select(r => r["loss"]!.GetValue<double>());
            Assert.All(MetricsLog.Read(Path.Combine(one, stage)).Select(r => r["loss"]!.GetValue<double>()).Zip(losses), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
            Assert.Single(Directory.EnumerateFiles(Path.Combine(many, stage), "events*"));
        }
    }

    [Fact]
    public void ADeadRank_EndsTheJob_WhichGoesOnWithTheSameBits()
    {
        using var folder = new TempFolder();
        string recipe = folder.Write("toy.yaml", Recipe("shard_optimizer: true", lastSteps: 40)), whole = folder.File("whole"), broken = folder.File("broken");
        var (exit, _, error) = Refine(2, recipe, whole);
        Assert.True(exit == 0, error);
        (exit, _, error) = Refine(2, recipe, broken, mpirun =>
        {
            WaitFor(mpirun, Path.Combine(broken, "3-world"));
            _ = Sailvit.SendSignal(Mpirun.Ranks(mpirun)[1], Kill);
        });
        Assert.NotEqual(0, exit);
        Assert.Contains("exited on signal 9", error, StringComparison.Ordinal);
        Assert.True(Directory.EnumerateDirectories(Path.Combine(broken, "3-world"), "step-*").Any());
        (exit, _, error) = Refine(2, recipe, broken);
        Assert.True(exit == 0, error);
        Assert.Contains("goes on at step", error, StringComparison.Ordinal);
        AssertSame(Path.Combine(whole, "3-world", "model"), Path.Combine(broken, "3-world", "model"));
        AssertSame(Path.Combine(whole, "encoder"), Path.Combine(broken, "encoder"));
    }

    // One process alone is told, in the middle of a step: all must stop behind the same one, or the sums of the next would wait for ever.
    [Fact]
    public void AnInterruptedRank_StopsAllBehindTheSameStep()
    {
        using var folder = new TempFolder();
        // Periodic checkpoints come later than the interrupt.
        string recipe = folder.Write("toy.yaml", Recipe("shard_optimizer: true", lastSteps: 40).Replace("checkpoint_every: 2", "checkpoint_every: 1000", StringComparison.Ordinal));
        string whole = folder.File("whole"), broken = folder.File("broken"), stage = Path.Combine(broken, "3-world");
        var (exit, _, error) = Refine(2, recipe, whole);
        Assert.True(exit == 0, error);
        (exit, _, error) = Refine(2, recipe, broken, mpirun =>
        {
            WaitFor(mpirun, stage);
            _ = Sailvit.SendSignal(Mpirun.Ranks(mpirun)[1], PoliteKill);
        });
        Assert.True(exit == Interrupted, error);
        Assert.Equal("sailvit: interrupted; the run is saved. The same command goes on from here.", Assert.Single(error.Split('\n'), line => line.StartsWith("sailvit: ", StringComparison.Ordinal)).Trim());
        int steps = MetricsLog.Read(stage).Count;
        Assert.Equal($"step-{steps:D8}", Path.GetFileName(Assert.Single(Directory.EnumerateDirectories(stage, "step-*"))));
        (exit, _, error) = Refine(2, recipe, broken);
        Assert.True(exit == 0, error);
        Assert.Contains($"goes on at step {steps}", error, StringComparison.Ordinal);
        AssertSame(Path.Combine(whole, "3-world", "model"), Path.Combine(stage, "model"));
    }

    // What mpirun makes of Ctrl-C: it may kill the processes in the middle of anything.
    [Fact]
    public void AnInterruptedJob_GoesOnWithTheSameBits()
    {
        using var folder = new TempFolder();
        string recipe = folder.Write("toy.yaml", Recipe("shard_optimizer: true", lastSteps: 120)), whole = folder.File("whole"), broken = folder.File("broken");
        var (exit, _, error) = Refine(2, recipe, whole);
        Assert.True(exit == 0, error);
        _ = Refine(2, recipe, broken, mpirun =>
        {
            WaitFor(mpirun, Path.Combine(broken, "3-world"));
            _ = Sailvit.SendSignal(mpirun.Id, PoliteKill);
        });
        (exit, _, error) = Refine(2, recipe, broken);
        Assert.True(exit == 0, error);
        AssertSame(Path.Combine(whole, "3-world", "model"), Path.Combine(broken, "3-world", "model"));
    }

    [Theory]
    [InlineData("batch: 4", "batch: four", "batch is 'four'")]
    [InlineData("batch: 4", "batch: 5", "has 5 packs per step; they cannot be shared evenly by 2 processes")]
    public void WhatAllProcessesFind_IsSaidOnce(string good, string bad, string says)
    {
        using var folder = new TempFolder();
        string recipe = folder.Write("toy.yaml", Recipe().Replace(good, bad, StringComparison.Ordinal));
        var (exit, output, error) = Refine(2, recipe, folder.File("run"));
        Assert.Equal(1, exit);
        Assert.Contains(says, Assert.Single(error.Split('\n'), line => line.StartsWith("sailvit: ", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.DoesNotContain("curves", output, StringComparison.Ordinal);
    }

    // Until some steps are logged, and a checkpoint is there.
    private static void WaitFor(Process mpirun, string stage)
    {
        string file = Path.Combine(stage, MetricsLog.FileName);
        while (!mpirun.HasExited && !(File.Exists(file) && MetricsLog.Read(stage).Count > 3))
        {
            Thread.Sleep(5);
        }
    }

    private static void AssertClose(string expected, string actual) => Compare(expected, actual, (name, a, b) =>
    {
        // Sums over packs are grouped otherwise than in one process.
        double error = ((a - b).norm() / a.norm()).item<float>();
        Assert.True(error < 1e-4, $"{name}: {error}");
    });

    private static void AssertSame(string expected, string actual) => Compare(expected, actual, (name, a, b) => Assert.True(TestData.Same(a, b), name));

    private static void Compare(string expected, string actual, Action<string, Tensor, Tensor> assert)
    {
        using var scope = NewDisposeScope();
        using var a = Checkpoint.Open(expected);
        using var b = Checkpoint.Open(actual);
        Assert.Equal(a.Names.Order(), b.Names.Order());
        Assert.All(a.Names, name => assert(name, a.Read(name), b.Read(name)));
    }
}
