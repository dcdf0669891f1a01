using SailVit.Model.Refinement;
using Xunit;

namespace SailVit.Model.Tests.Refinement;

/// <summary>Several targets, several origins, several seeds.</summary>
public sealed class TargetTests
{
    // The target of the toy recipe as an entry of a list.
    private static readonly string Two = ToyRecipe.Target
        .Replace("target:\n  language", "targets:\n  - name: a\n    from: [start, fine]\n    connector: keep\n    language", StringComparison.Ordinal)
        .Replace("\n  tokenizer", "\n    tokenizer", StringComparison.Ordinal)
        .Replace("\n  stages", "\n    stages", StringComparison.Ordinal);

    [Fact]
    public void OneSection_IsATargetForEachOrigin()
    {
        var recipe = ToyRecipe.Read(ToyRecipe.Text(target: Two));
        Assert.Equal(["a-start", "a-fine"], recipe.Targets.Select(t => t.Label));
        Assert.Equal("a-fine-basic", recipe.Targets[1].Stages[0].Name);
        Assert.All(recipe.Targets, t => Assert.True(t.KeepConnector));
    }

    [Fact]
    public void SeveralSeeds_AreSeveralRuns()
    {
        var recipe = ToyRecipe.Read(ToyRecipe.Text(target: Two).Replace("seed: 7", "seeds: [4, 5]", StringComparison.Ordinal));
        var runs = recipe.Runs("out");
        Assert.Equal([(4, Path.Combine("out", "seed-4")), (5, Path.Combine("out", "seed-5"))], runs.Select(r => (r.Recipe.Seed, r.Folder)));
        Assert.All(runs, r => Assert.All(r.Recipe.Targets, t => Assert.Equal(r.Recipe.Seed, t.Seed)));
        Assert.Equal(Path.Combine("out", "seed-5"), Assert.Single(recipe.Runs("out", 5)).Folder);
        Assert.Equal("out", Assert.Single((recipe with { Seeds = [] }).Runs("out")).Folder);
    }

    [Theory]
    [InlineData("from: [start, fine]", "from: [start, fire]", "from is 'fire'; it must be start or coarse or fine or world")]
    [InlineData("connector: keep", "connector: kept", "connector is 'kept'; it must be fresh or keep")]
    [InlineData("from: [start, fine]", "from: [fine, fine]", "two targets are 'a-fine'")]
    [InlineData("seed: 7", "seeds: [1, 1]", "seeds must be whole numbers, at least 0, all different")]
    [InlineData("seed: 7", "seed: 7\nseeds: [1]", "there is seed as well")]
    [InlineData("- { name: fine,", "- { name: fine, from: world,", "from is 'world'; it must be start or coarse")]
    public void Mistakes_AreNamed(string good, string bad, string says)
    {
        string text = ToyRecipe.Text(target: Two);
        Assert.Contains(good, text, StringComparison.Ordinal);
        Assert.Contains(says, Assert.Throws<RecipeException>(() => ToyRecipe.Read(text.Replace(good, bad, StringComparison.Ordinal))).Message, StringComparison.Ordinal);
    }
}
