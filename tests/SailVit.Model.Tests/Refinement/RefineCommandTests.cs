using System.Diagnostics;
using SailVit.Model.Checkpoints;
using SailVit.Model.Refinement;
using SailVit.Model.Tests.Cli;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Refinement;

/// <summary><c>sailvit refine</c> as another process, as its users run it, and as a power cut ends it.</summary>
public sealed class RefineCommandTests
{
    private static readonly string Small = Path.GetFullPath(Path.Combine(TestData.Root, "..", "..", "recipes", "small.yaml"));

    [Fact]
    public void KilledAtAnyMoment_EndsWithTheSameBits()
    {
        using var folder = new TempFolder();
        string whole = folder.File("whole"), pieces = folder.File("pieces");
        var clock = Stopwatch.StartNew();
        var (exit, output, error) = Sailvit.Run("refine", "--recipe", Small, "--output", whole);
        var through = clock.Elapsed;
        Assert.True(exit == 0, error);
        Assert.Contains("refined encoder: ", output, StringComparison.Ordinal);
        Assert.True(new FileInfo(Path.Combine(whole, "report.png")).Length > 10_000);

        var random = new Random(1);
        for (int kill = 0; kill < 3; kill++)
        {
            Sailvit.RunFor(through * (0.1 + (0.5 * random.NextDouble())), "refine", "--recipe", Small, "--output", pieces);
        }
        Assert.Equal(0, Sailvit.Run("refine", "--recipe", Small, "--output", pieces).Exit);
        var models = Stages(whole).Zip(Stages(pieces)).Append((Path.Combine(whole, "encoder"), Path.Combine(pieces, "encoder"))).ToList();
        Assert.Equal(5, models.Count);
        Assert.All(models, pair => AssertSame(pair.Item1, pair.Item2));
    }

    [Fact]
    public void Interrupted_FinishesTheStepAndGoesOn()
    {
        const int Terminate = 15;
        using var folder = new TempFolder();
        string[] command = ["refine", "--recipe", folder.Write("toy.yaml", ToyRecipe.Text().Replace("steps: 4", "steps: 60", StringComparison.Ordinal)), "--output", folder.File("run"), "--stage", "coarse"];
        var (exit, error) = Sailvit.Kill(Terminate, folder.File("run/1-coarse/metrics.jsonl"), command)!.Value;
        Assert.Equal(130, exit);
        Assert.Contains("interrupted; the run is saved", error, StringComparison.Ordinal);
        int steps = MetricsLog.Read(folder.File("run/1-coarse")).Count;
        Assert.InRange(steps, 0, 59);
        Assert.Equal(0, Sailvit.Run(command).Exit);
        // Finished, and started once more: nothing is done, and that is said.
        (exit, _, error) = Sailvit.Run(command);
        Assert.Equal(0, exit);
        Assert.Contains("coarse: finished before, 60 steps", error, StringComparison.Ordinal);
        Assert.Equal(Enumerable.Range(0, 60), MetricsLog.Read(folder.File("run/1-coarse")).Select(r => r["step"]!.GetValue<int>()));
    }

    [Fact]
    public void RefinedEncoder_Embeds()
    {
        using var folder = new TempFolder();
        string recipe = folder.Write("toy.yaml", ToyRecipe.Text());
        Assert.Equal(0, Sailvit.Run("refine", "--recipe", recipe, "--output", folder.File("run"), "--stage", "world", "--peak-tflops", "0.1").Exit);
        var (exit, _, error) = Sailvit.Run("embed", "--weights", folder.File("run/encoder"), "--input", TestData.Image("coffee.png"), "--output", folder.File("features.safetensors"));
        Assert.True(exit == 0, error);
    }

    [Theory]
    [InlineData("batch: 2", "batch: two", "toy.yaml:11: batch is 'two'")]
    [InlineData("captions.jsonl", "no-such.jsonl", "no-such.jsonl: there is no such file")]
    [InlineData("stages:", "stages_: 1\nstages:", "stages_ is no key of the recipe")]
    public void BadInput_IsOneLine(string good, string bad, string says)
    {
        using var folder = new TempFolder();
        string recipe = folder.Write("toy.yaml", ToyRecipe.Text().Replace(good, bad, StringComparison.Ordinal));
        var (exit, output, error) = Sailvit.Run("refine", "--recipe", recipe, "--output", folder.File("run"));
        Assert.Equal((1, ""), (exit, output));
        Assert.StartsWith("sailvit: ", error, StringComparison.Ordinal);
        Assert.Contains(says, error, StringComparison.Ordinal);
        Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    private static IEnumerable<string> Stages(string run) =>
        Directory.EnumerateDirectories(run).Order(StringComparer.Ordinal).Select(stage => new StageFolder(stage).Model).Where(Directory.Exists);

    private static void AssertSame(string expected, string actual)
    {
        using var scope = NewDisposeScope();
        using var a = Checkpoint.Open(expected);
        using var b = Checkpoint.Open(actual);
        Assert.Equal(a.Names.Order(), b.Names.Order());
        Assert.All(a.Names, name => Assert.True(TestData.Same(a.Read(name), b.Read(name)), name));
    }
}
