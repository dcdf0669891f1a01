namespace SailVit.Model.Demonstration;

/// <summary>Conversations without a picture: the language, the facts, and reading.</summary>
/// <remarks>A language model that has learned from them can answer a question about a scene that is described to it, and knows
/// nothing of pictures.</remarks>
internal static class TextOnly
{
    private const int Questions = 3;

    /// <summary>Half of them descriptions with questions, three in ten descriptions alone, the rest facts.</summary>
    public static IEnumerable<IReadOnlyList<(string Question, string Answer)>> Conversations(int count, Random random)
    {
        for (int i = 0; i < count; i++)
        {
            var scene = World.Draw(random);
            yield return random.Next(10) switch
            {
                < 5 => Reading(scene, random),
                < 8 => [("Describe a scene in detail.", SceneCaption.Dense(scene))],
                8 => [("Describe a scene briefly.", SceneCaption.Coarse(scene))],
                _ => [.. World.Shuffled(random, World.Kinds).Take(Questions).Select(kind => ($"How many corners does a {World.Name(kind)} have?", World.Corners(kind)))],
            };
        }
    }

    private static (string, string)[] Reading(Scene scene, Random random) =>
    [
        .. SceneQuestion.AskSeveral(Questions, scene, random)
            .Select((q, i) => (i == 0 ? $"{SceneCaption.Dense(scene)}\n{q.Text}\n{WorldFiles.ShortAnswer}" : q.Text, q.Answer)),
    ];
}
