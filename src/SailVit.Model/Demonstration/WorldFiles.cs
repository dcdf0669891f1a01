using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Text;

namespace SailVit.Model.Demonstration;

/// <summary>Writes the world to disk: pictures, conversations as LLaVA has them, and the test as VLMEvalKit has it.</summary>
/// <remarks>
/// <c>coarse.jsonl</c>: short captions of the first third of the refinement's pictures; <c>dense.jsonl</c>: detailed ones of the
/// first two thirds; <c>questions.jsonl</c>: questions about the last two; <c>text.jsonl</c>: no pictures; <c>target.jsonl</c>:
/// questions about pictures of their own; <c>blind.jsonl</c>: the same about a blank one; <c>test.tsv</c>: questions about
/// pictures that nothing else has, every answer to a kind equally often.
/// </remarks>
internal sealed class WorldFiles(WorldOptions options, string folder)
{
    private const int QuestionsPerImage = 3;
    private const string BlankName = "blank.png";

    private static readonly string[] Read = ["coarse.jsonl", "dense.jsonl", "questions.jsonl", "text.jsonl"];

    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Asks for an answer as VLMEvalKit does, from which the test's prompts come.</summary>
    public const string ShortAnswer = "Answer the question using a single word or phrase.";

    private enum Stream { Refinement, Target, Test, Text, Questions, TargetQuestions }

    public string Images => Path.Combine(folder, "images");

    public void Write(Action<int> report, CancellationToken cancel)
    {
        Directory.CreateDirectory(Images);
        var scenes = Scenes(Stream.Refinement, options.RefinementImages);
        var target = Scenes(Stream.Target, options.TargetImages);
        Paint("refinement", scenes, report, cancel);
        Paint("target", target, report, cancel);
        WriteFile(Path.Combine(Images, BlankName), SceneRenderer.Blank());
        int third = scenes.Count / 3;
        WriteLines("coarse.jsonl", Enumerable.Range(0, third).Select(i => Line(Name("refinement", i), (SceneCaption.CoarsePrompt, SceneCaption.Coarse(scenes[i])))));
        WriteLines("dense.jsonl", Enumerable.Range(0, 2 * third).Select(i => Line(Name("refinement", i), (SceneCaption.DensePrompt, SceneCaption.Dense(scenes[i])))));
        var random = Generator(Stream.Questions);
        WriteLines("questions.jsonl", Enumerable.Range(third, scenes.Count - third).Select(i => Line(Name("refinement", i), Turns(scenes[i], random))));
        random = Generator(Stream.TargetQuestions);
        var asked = target.ConvertAll(scene => Turns(scene, random));
        WriteLines("target.jsonl", asked.Select((turns, i) => Line(Name("target", i), turns)));
        WriteLines("blind.jsonl", asked.Select(turns => Line(BlankName, turns)));
        WriteLines("text.jsonl", TextOnly.Conversations(options.Texts, Generator(Stream.Text)).Select(turns => Line(null, [.. turns])));
        WriteTest(report, cancel);
    }

    /// <summary>All texts, from which the tokenizer learns.</summary>
    public IEnumerable<string> Texts() => Read
        .SelectMany(name => File.ReadLines(Path.Combine(folder, name)))
        .SelectMany(line => JsonDocument.Parse(line).RootElement.GetProperty("conversations").EnumerateArray().Select(turn => turn.GetProperty("value").GetString()!.Replace(ChatMessage.ImagePlace, "", StringComparison.Ordinal)))
        .Prepend($"system\n{ChatTemplate.DefaultSystem}user\nassistant\n");

    /// <summary>Questions of a kind in which every answer stands equally often.</summary>
    internal static IEnumerable<(Scene Scene, SceneQuestion Question)> Balanced(QuestionKind kind, int count, Random random)
    {
        var answers = SceneQuestion.Answers(kind);
        for (int i = 0; i < count; i++)
        {
            (Scene Scene, SceneQuestion? Question) drawn;
            do
            {
                var scene = World.Draw(random);
                drawn = (scene, SceneQuestion.Ask(kind, scene, random));
            }
            while (drawn.Question?.Answer != answers[i % answers.Count]);
            yield return (drawn.Scene, drawn.Question!);
        }
    }

    private Random Generator(Stream stream) => new((options.Seed * 100) + (int)stream);

    private List<Scene> Scenes(Stream stream, int count)
    {
        var random = Generator(stream);
        return [.. Enumerable.Range(0, count).Select(_ => World.Draw(random))];
    }

    private static (string, string)[] Turns(Scene scene, Random random) =>
        [.. SceneQuestion.AskSeveral(QuestionsPerImage, scene, random).Select((q, i) => (i == 0 ? $"{q.Text}\n{ShortAnswer}" : q.Text, q.Answer))];

    private void Paint(string set, List<Scene> scenes, Action<int> report, CancellationToken cancel)
    {
        Directory.CreateDirectory(Path.Combine(Images, set));
        Parallel.For(0, scenes.Count, new ParallelOptions { CancellationToken = cancel }, i =>
        {
            WriteFile(Path.Combine(Images, Name(set, i)), SceneRenderer.ToPng(scenes[i]));
            lock (scenes)
            {
                report(1);
            }
        });
    }

    private void WriteTest(Action<int> report, CancellationToken cancel)
    {
        var random = Generator(Stream.Test);
        var rows = new List<string> { "index\tcategory\tquestion\tanswer\timage" };
        Directory.CreateDirectory(Path.Combine(Images, "test"));
        foreach (var (scene, question) in SceneQuestion.Kinds.SelectMany(kind => Balanced(kind, options.TestQuestions, random)))
        {
            cancel.ThrowIfCancellationRequested();
            byte[] png = SceneRenderer.ToPng(scene);
            WriteFile(Path.Combine(Images, Name("test", rows.Count - 1)), png);
            rows.Add($"{rows.Count - 1}\t{question.Kind.ToString().ToLowerInvariant()}\t{question.Text}\t{question.Answer}\t{Convert.ToBase64String(png)}");
            report(1);
        }
        WriteLines("test.tsv", rows);
    }

    private static string Name(string set, int i) => $"{set}/{i:D5}.png";

    // A picture stands before the first question.
    private static string Line(string? image, params IReadOnlyList<(string Question, string Answer)> turns)
    {
        var conversations = turns.SelectMany((turn, i) => new[]
        {
            new { from = "human", value = i == 0 && image is not null ? $"{ChatMessage.ImagePlace}\n{turn.Question}" : turn.Question },
            new { from = "gpt", value = turn.Answer },
        });
        return image is null ? JsonSerializer.Serialize(new { conversations }, Readable) : JsonSerializer.Serialize(new { image, conversations }, Readable);
    }

    private void WriteLines(string name, IEnumerable<string> lines) => WriteFile(Path.Combine(folder, name), Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => line + "\n"))));

    private static void WriteFile(string path, byte[] content) => Files.WriteAtomically(path, stream => stream.Write(content));
}
