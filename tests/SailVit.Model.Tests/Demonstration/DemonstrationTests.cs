using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using SailVit.Model.Checkpoints;
using SailVit.Model.Tests.Cli;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Demonstration;

/// <summary>The commands of docs/demonstration.md, at a small part of their size and with fewer targets.</summary>
public sealed partial class DemonstrationTests
{
    private static readonly string Repository = Path.GetFullPath(Path.Combine(TestData.Root, "..", ".."));

    [Fact]
    public void Commands_RunFromTheWorldToTheResults()
    {
        using var folder = new TempFolder();
        string world = folder.File("demo-world"), run = folder.File("run"), recipe = folder.Write("demo.yaml", Tiny(world)), results = folder.File("results");
        Assert.Contains("language-other: made, last loss", Succeed("demo", "prepare", "--output", world, "--scale", "0.004"), StringComparison.Ordinal);
        string[] evaluation = ["eval", "refinement", "--recipe", recipe, "--run", run, "--data", Path.Combine(world, "test.tsv"), "--set", "GQA", "--images", Path.Combine(world, "images", "test"), "--output", results];
        Succeed("refine", "--recipe", recipe, "--output", folder.File("before"), "--seed", "0");
        Directory.Move(folder.File("before"), run); // a run goes on wherever it lies
        var (exit, _, error) = Sailvit.Run(evaluation);
        Assert.True(exit == 1 && error.Contains("is not finished; run sailvit refine", StringComparison.Ordinal), error);
        Assert.Contains("refined encoder: ", Succeed("refine", "--recipe", recipe, "--output", run), StringComparison.Ordinal);
        Succeed(evaluation);
        var arms = JsonNode.Parse(File.ReadAllText(Path.Combine(results, "results.json")))!["arms"]!.AsArray();
        Assert.Equal(["same start", "same fine", "other world", "kept coarse", "blind start"], arms.Select(arm => $"{arm!["name"]} {arm["from"]}"));
        Assert.All(arms, arm => Assert.Equal([0, 1], arm!["results"]!.AsArray().Select(r => r!["seed"]!.GetValue<int>())));
        Assert.All(arms, arm => Assert.Equal(9, arm!["results"]![0]!["categories"]!.AsObject().Count));
        Assert.True(new FileInfo(Path.Combine(results, "results.png")).Length > 5000);
        AssertHandOver(Path.Combine(run, "seed-0"));
    }

    [Fact]
    public void Documentation_GivesCommandsThatParse()
    {
        string text = File.ReadAllText(Path.Combine(Repository, "docs", "demonstration.md"));
        string[] commands = [.. Command().Matches(text).Select(m => m.Groups[1].Value)];
        Assert.Contains(commands, c => c.StartsWith("eval refinement", StringComparison.Ordinal));
        Assert.All(commands, command =>
        {
            var (exit, _, error) = Sailvit.Run([.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]);
            Assert.True(exit == 0, error);
        });
    }

    // Stage 1 leaves the encoder alone; what is kept is its connector.
    private static void AssertHandOver(string run)
    {
        using var scope = NewDisposeScope();
        using var start = Checkpoint.Open(Path.Combine(run, "start"));
        using var coarse = Checkpoint.Open(Path.Combine(run, "2-coarse", "model"));
        using var kept = Checkpoint.Open(Path.Combine(run, "target-kept-coarse-start"));
        using var fresh = Checkpoint.Open(Path.Combine(run, "target-same-fine-start"));
        using var fine = Checkpoint.Open(Path.Combine(run, "3-fine", "model"));
        bool Same(Checkpoint a, Checkpoint b, string prefix) => a.Names.Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).All(n => TestData.Same(a.Read(n), b.Read(n)));
        Assert.True(Same(start, coarse, "vision_model."));
        Assert.True(Same(coarse, kept, "mlp1.") && Same(coarse, kept, "vision_model.") && Same(start, kept, "language_model."));
        Assert.True(Same(fine, fresh, "vision_model.") && !Same(fine, fresh, "mlp1.") && Same(start, fresh, "language_model."));
    }

    private static string Tiny(string world)
    {
        string text = Steps().Replace(File.ReadAllText(Path.Combine(Repository, "recipes", "demo.yaml")), "steps: 1");
        foreach (var (whole, part) in new[]
        {
            ("../runs/demo-world", world), ("seeds: [0, 1, 2]", "seeds: [0, 1]"), ("pack_tokens: 1024", "pack_tokens: 256"), ("name: same\n    from: [start, fine, world, at-once]", "name: same\n    from: [start, fine]"),
            ("from: [start, fine, world, at-once]", "from: world"), ("from: [coarse, fine, world]", "from: coarse"),
        })
        {
            Assert.Contains(whole, text, StringComparison.Ordinal);
            text = text.Replace(whole, part, StringComparison.Ordinal);
        }
        return text;
    }

    private static string Succeed(params string[] command)
    {
        var (exit, output, error) = Sailvit.Run(command);
        Assert.True(exit == 0, string.Create(CultureInfo.InvariantCulture, $"{string.Join(' ', command)}: {error}"));
        return output;
    }

    [GeneratedRegex(@"^sailvit (.*?)\\?$", RegexOptions.Multiline)]
    private static partial Regex Command();

    [GeneratedRegex(@"steps: \d+")]
    private static partial Regex Steps();
}
