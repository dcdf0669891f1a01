namespace SailVit.Model.Demonstration;

/// <summary>Conversations without a picture: the language, the facts, and reading.</summary>
/// <remarks>A language model that has learned from them can answer a question about a scene that is described to it, and knows
/// nothing of pictures.</remarks>
internal static class TextOnly
{
    private const int Questions = 6, Facts = 3;

    /// <summary>Of ten, five are something to read with questions about it, four something to say again in sentences, one facts.</summary>
    public static IEnumerable<IReadOnlyList<(string Question, string Answer)>> Conversations(int count, Random random)
    {
        for (int i = 0; i < count; i++)
        {
            var scene = World.Draw(random);
            string given = random.Next(2) == 0 ? SceneCaption.Dense(scene) : SceneCaption.Notes(scene);
            yield return random.Next(10) switch
            {
                < 5 => [.. SceneQuestion.AskSeveral(Questions, scene, random).Select((q, n) => (n == 0 ? $"{given}\n{q.Text}\n{WorldFiles.ShortAnswer}" : q.Text, q.Answer))],
                < 8 => [($"{given}\nDescribe this in detail.", SceneCaption.Dense(scene))],
                8 => [($"{given}\nDescribe this briefly.", SceneCaption.Coarse(scene))],
                _ => [.. World.Shuffled(random, World.Kinds).Take(Facts).Select(kind => ($"How many corners does a {World.Name(kind)} have?", World.Corners(kind)))],
            };
        }
    }
}
