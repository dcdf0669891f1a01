using System.Text.RegularExpressions;
using SailVit.Model.Demonstration;
using SailVit.Model.Images;
using Xunit;

namespace SailVit.Model.Tests.Demonstration;

public sealed partial class WorldTests
{
    [Fact]
    public void SameSeed_SamePictures()
    {
        byte[][] Paint() => [.. Scenes(3, 20).Select(SceneRenderer.ToPng)];
        Assert.Equal(Paint(), Paint());
        Assert.NotEqual(SceneRenderer.ToPng(Scenes(3, 1)[0]), SceneRenderer.ToPng(Scenes(4, 1)[0]));
    }

    [Fact]
    public void Picture_ShowsEachShapeInItsColourAtItsPlace()
    {
        foreach (var scene in Scenes(1, 200))
        {
            var image = ImageDecoder.Decode(SceneRenderer.ToPng(scene), "scene");
            Assert.Equal((SceneRenderer.Size, SceneRenderer.Size), (image.Width, image.Height));
            Assert.All(scene.Shapes, shape => Assert.Equal(shape.Colour, Nearest(image[(24 * shape.Place.Column) + 12 + shape.Place.Right, (24 * shape.Place.Row) + 12 + shape.Place.Down])));
        }
    }

    [Fact]
    public void Scenes_HoldWhatTheyPromise()
    {
        var scenes = Scenes(2, 2000);
        Assert.All(scenes, scene =>
        {
            Assert.InRange(scene.Shapes.Count, 1, World.MostShapes);
            Assert.Equal(scene.Shapes.Count, scene.Shapes.Select(s => s.Kind).Distinct().Count());
            Assert.Equal(scene.Shapes.Count, scene.Shapes.Select(s => s.Colour).Distinct().Count());
            var places = scene.Shapes.Select(s => s.Place.Index).Concat(scene.Text is { } text ? [text.Place.Index] : []).ToList();
            Assert.Equal(places.Count, places.Distinct().Count());
            Assert.Equal(scene.Shapes.OrderBy(s => s.Place.Index), scene.Shapes);
        });
    }

    [Fact]
    public void Answers_AreTrue()
    {
        var random = new Random(5);
        var asked = Scenes(5, 3000).SelectMany(scene => SceneQuestion.Kinds.Select(kind => (Scene: scene, Question: SceneQuestion.Ask(kind, scene, random)))).Where(a => a.Question is not null).ToList();
        Assert.Equal(SceneQuestion.Kinds, asked.Select(a => a.Question!.Kind).Distinct().Order());
        Assert.All(asked, a => Assert.Equal(Answer(a.Scene, a.Question!.Text), a.Question.Answer));
        Assert.All(asked, a => Assert.Contains(a.Question!.Answer, SceneQuestion.Answers(a.Question.Kind)));
    }

    // By the words of the question alone, so that a question about the wrong shape is found too.
    private static string Answer(Scene scene, string question)
    {
        SceneShape Of(string word) => scene.Shapes.Single(s => s.Name == word || s.ColourName == word);
        string[] words = [.. Word().Matches(question).Select(m => m.Value)];
        string[] corners = ["none", "four", "three", "ten", "twelve"];
        return words switch
        {
            ["How", "many", "shapes", ..] => World.Counts[scene.Shapes.Count - 1],
            ["What", "colour", .., var kind] => Of(kind).ColourName,
            ["Which", "shape", .., var colour] => Of(colour).Name,
            ["Where", .., var kind] => Of(kind).Place.Name,
            ["Which", "digit", ..] => scene.Text!.Text,
            ["Which", "word", ..] => scene.Text!.Text,
            ["How", "many", "corners", "does", "the", var colour, ..] => corners[(int)Of(colour).Kind],
            ["Is", "the", var kind, "large", ..] => Of(kind).SizeName,
            ["Is", "the", var one, .. var relation, "the", var other] => Holds(Of(one).Place, string.Join(' ', relation), Of(other).Place) ? "yes" : "no",
            _ => throw new ArgumentException(question),
        };
    }

    private static bool Holds(Place one, string relation, Place other) => relation switch
    {
        "left of" => one.Column < other.Column,
        "right of" => one.Column > other.Column,
        "above" => one.Row < other.Row,
        _ => one.Row > other.Row,
    };

    [Fact]
    public void Questions_SayNothingOfTheirAnswers()
    {
        var random = new Random(6);
        var asked = Scenes(6, 30_000).SelectMany(scene => SceneQuestion.Kinds.Select(kind => SceneQuestion.Ask(kind, scene, random)).OfType<SceneQuestion>()).ToList();
        foreach (var group in asked.GroupBy(q => q.Text))
        {
            var answers = SceneQuestion.Answers(group.First().Kind);
            double expected = (double)group.Count() / answers.Count;
            // Five standard deviations of a count.
            Assert.All(answers, answer => Assert.InRange(group.Count(q => q.Answer == answer), expected - (5 * Math.Sqrt(expected)), expected + (5 * Math.Sqrt(expected))));
        }
    }

    [Theory]
    [InlineData(QuestionKind.Count)]
    [InlineData(QuestionKind.Digit)]
    [InlineData(QuestionKind.Relation)]
    [InlineData(QuestionKind.Corners)]
    public void Test_HasEveryAnswerEquallyOften(QuestionKind kind)
    {
        var asked = WorldFiles.Balanced(kind, 60, new Random(1)).ToList();
        Assert.Single(asked.CountBy(a => a.Question.Answer).Select(a => a.Value).Distinct());
        Assert.All(asked, a => Assert.Equal(Answer(a.Scene, a.Question.Text), a.Question.Answer));
    }

    [Fact]
    public void Captions_SayMoreFromStageToStage()
    {
        var scene = new Scene([new(ShapeKind.Circle, ShapeColour.Red, true, new(0, 0), 0), new(ShapeKind.Star, ShapeColour.Black, false, new(1, 1), 0)], new("7", new(0, 2)), 0);
        Assert.Equal("A circle, the digit 7 and a star.", SceneCaption.Coarse(scene));
        Assert.Equal("A large red circle at the top left, the digit 7 at the top right and a small black star in the centre.", SceneCaption.Dense(scene));
        Assert.Equal("large red circle top left; digit 7 top right; small black star centre", SceneCaption.Notes(scene));
    }

    [Fact]
    public void Chance_IsThatOfNineKinds() =>
        Assert.Equal(((1 / 5.0) + (1 / 6.0) + (1 / 5.0) + (1 / 2.0) + (1 / 9.0) + (1 / 10.0) + (1 / 8.0) + (1 / 2.0) + (1 / 5.0)) / 9, SceneQuestion.Chance, 12);

    private static List<Scene> Scenes(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => World.Draw(random))];
    }

    private static ShapeColour Nearest((byte R, byte G, byte B) pixel)
    {
        (int R, int G, int B)[] colours = [(210, 40, 40), (40, 150, 60), (40, 70, 210), (225, 190, 30), (140, 50, 160), (30, 30, 30)];
        return (ShapeColour)Enumerable.Range(0, colours.Length).MinBy(i => Math.Abs(colours[i].R - pixel.R) + Math.Abs(colours[i].G - pixel.G) + Math.Abs(colours[i].B - pixel.B));
    }

    [GeneratedRegex(@"\w+")]
    private static partial Regex Word();
}
