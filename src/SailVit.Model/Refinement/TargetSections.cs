namespace SailVit.Model.Refinement;

/// <summary>Reads what a recipe says about the trainings after the hand-over: <c>target</c>, or a list of <c>targets</c>.</summary>
internal static class TargetSections
{
    public static IReadOnlyList<TargetRecipe> Read(RecipeSection root, RecipeSection? defaults, Recipe recipe)
    {
        var (one, several) = (root.Child("target"), root.List("targets"));
        if (one is not null && several is not null)
        {
            throw root.Error("target", "there are targets as well; put them all into targets");
        }
        var targets = new List<TargetRecipe>();
        foreach (var section in several ?? (one is null ? [] : [one]))
        {
            targets.AddRange(ByOrigin(section, defaults, recipe));
            if (targets.GroupBy(t => t.Label).FirstOrDefault(g => g.Count() > 1) is { } twice)
            {
                throw section.Error($"two targets are '{twice.Key}'; give each a name of its own");
            }
        }
        return targets;
    }

    // A section with several origins is as many targets.
    private static List<TargetRecipe> ByOrigin(RecipeSection section, RecipeSection? defaults, Recipe recipe)
    {
        var language = section.Child("language") is { } origin ? RecipeFile.Language(origin) : new(null, null);
        var target = new TargetRecipe(language, RecipeFile.Tokenizer(section, language.Folder), section.Count("seed", least: 0) ?? recipe.Seed, StageSections.Read(section, defaults))
        {
            Name = section.Text("name"),
            KeepConnector = section.Choice("connector", [("fresh", false), ("keep", true)]) ?? false,
        };
        var origins = section.Texts("from");
        string[] known = [TargetRecipe.Start, .. recipe.Stages.Select(s => s.Name)];
        if (origins?.FirstOrDefault(from => !known.Contains(from)) is { } unknown)
        {
            throw section.Error("from", $"from is '{unknown}'; it must be {string.Join(" or ", known)}");
        }
        section.End("language", "stages");
        return [.. (origins ?? [null!]).Select(from => Named(target with { From = from }))];
    }

    private static TargetRecipe Named(TargetRecipe target) => target.Label.Length == 0 ? target : target with
    {
        Stages = [.. target.Stages.Select(stage => stage with { Name = $"{target.Label}-{stage.Name}", From = stage.From is null or TargetRecipe.Start ? stage.From : $"{target.Label}-{stage.From}" })],
    };
}
