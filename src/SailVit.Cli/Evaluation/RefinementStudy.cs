using SailVit.Model.Distributed;
using SailVit.Model.Evaluation;
using SailVit.Model.Refinement;
using static TorchSharp.torch;

namespace SailVit.Cli.Evaluation;

/// <summary>What one seed of a target reached.</summary>
/// <param name="Seed">Of the run.</param>
/// <param name="Score">Of all questions, 0 to 100.</param>
/// <param name="Categories">Scores by category.</param>
/// <param name="Distance">Between encoder and words of the model that the target training began with; null where none was measured.</param>
internal sealed record ArmResult(int Seed, double Score, IReadOnlyDictionary<string, double> Categories, FeatureDistance? Distance);

/// <summary>A target over all seeds.</summary>
/// <param name="Name">The target's.</param>
/// <param name="From">The stage whose encoder it begins with.</param>
/// <param name="Results">By seed.</param>
internal sealed record Arm(string Name, string From, IReadOnlyList<ArmResult> Results)
{
    /// <summary>Numbers that all seeds have, by name, in the order of tables and plots.</summary>
    public static IReadOnlyList<(string Name, string Format, Func<ArmResult, double> Of)> Measures(IReadOnlyList<Arm> arms)
    {
        var first = arms[0].Results[0];
        return
        [
            ("score", "0.0", r => r.Score),
            .. first.Categories.Keys.Select(name => (name, "0", (Func<ArmResult, double>)(r => r.Categories[name]))),
            .. first.Distance is null ? Array.Empty<(string, string, Func<ArmResult, double>)>() :
            [
                ("nearest neighbour", "0.00", r => r.Distance!.NearestNeighbour), ("Wasserstein", "0.00", r => r.Distance!.Wasserstein), ("overall", "0.00", r => r.Distance!.Overall),
            ],
        ];
    }

    public Interval Interval(Func<ArmResult, double> measure) => Model.Evaluation.Interval.Of([.. Results.Select(measure)]);
}

/// <summary>Asks every target of every seed the same questions, and measures the features that it began with.</summary>
internal sealed class RefinementStudy
{
    private const string Category = "category: ";

    public required IReadOnlyList<(Recipe Recipe, string Folder)> Runs { get; init; }

    public required VqaTask Task { get; init; }

    public required IReadOnlyList<string> Images { get; init; }

    public required int MaxNewTokens { get; init; }

    public required int BatchSize { get; init; }

    public required string Output { get; init; }

    /// <summary>Answers what was not answered before, and measures.</summary>
    /// <exception cref="ArgumentException">The recipe has no targets, or one is not trained to its end.</exception>
    public IReadOnlyList<Arm> Run(CancellationToken cancel)
    {
        var targets = Runs.SelectMany(run => Targets(run.Recipe, run.Folder)).ToList();
        if (targets.Count == 0)
        {
            throw new ArgumentException("The recipe has no targets to compare.");
        }
        if (targets.FirstOrDefault(t => t.Last.Summary is null) is { Last: { } open })
        {
            throw new ArgumentException($"{open.Path}: the stage is not finished; run sailvit refine with this recipe first.");
        }
        return
        [
            .. targets.GroupBy(t => (Name: t.Target.Name ?? "target", From: t.Target.From ?? t.Recipe.Stages[^1].Name))
                .Select(group => new Arm(group.Key.Name, group.Key.From, [.. group.Select(t => One(t.Recipe.Seed, t.Target, t.Start, t.Last, cancel))])),
        ];
    }

    private static IEnumerable<(Recipe Recipe, TargetRecipe Target, string Start, StageFolder Last)> Targets(Recipe recipe, string folder)
    {
        using var replicas = new SingleReplica();
        return new RefinementRun(recipe, folder, replicas).Targets.Select(t => (recipe, t.Target, t.Start, t.Last));
    }

    private ArmResult One(int seed, TargetRecipe target, string start, StageFolder last, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        using var answerer = new VqaAnswerer(last.Model, ScalarType.Float32, MaxNewTokens, maxTiles: null) { BatchSize = BatchSize };
        var report = VqaStudy.Score(Task, answerer.Answer(Task, Path.Combine(Output, "answers", $"seed-{seed}-{target.Label}"), cancel));
        return new ArmResult(
            seed,
            report.Score,
            report.Metrics.Where(m => m.Key.StartsWith(Category, StringComparison.Ordinal)).ToDictionary(m => m.Key[Category.Length..], m => m.Value),
            Images.Count == 0 ? null : Distance(start, cancel));
    }

    private FeatureDistance Distance(string model, CancellationToken cancel)
    {
        using var study = new FeatureStudy { Encoders = [model], Languages = [model], Images = Images, DType = ScalarType.Float32, Distance = new() };
        study.Run(cancel);
        var pair = study.Pairs[0];
        return new(pair.NearestNeighbour, pair.Wasserstein, pair.Overall);
    }
}
