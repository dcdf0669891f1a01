namespace SailVit.Model.Demonstration;

/// <summary>What a question is about.</summary>
public enum QuestionKind
{
    /// <summary>How many shapes there are.</summary>
    Count,

    /// <summary>Colour of the shape of a form.</summary>
    Colour,

    /// <summary>Form of the shape of a colour.</summary>
    Shape,

    /// <summary>Large or small.</summary>
    Size,

    /// <summary>In which of the nine places.</summary>
    Place,

    /// <summary>Which digit is written.</summary>
    Digit,

    /// <summary>Which word is written.</summary>
    Word,

    /// <summary>Whether one shape stands left of, right of, above or below another.</summary>
    Relation,

    /// <summary>How many corners a shape has: its form is seen, the rest must be known.</summary>
    Corners,
}

/// <summary>A question that only the picture answers.</summary>
/// <param name="Kind">What it is about.</param>
/// <param name="Text">The words.</param>
/// <param name="Answer">One of <see cref="Answers"/>.</param>
public sealed record SceneQuestion(QuestionKind Kind, string Text, string Answer)
{
    private static readonly string[] Directions = ["left of", "right of", "above", "below"];

    /// <summary>All kinds.</summary>
    public static IReadOnlyList<QuestionKind> Kinds { get; } = Enum.GetValues<QuestionKind>();

    /// <summary>Possible answers to a kind, all equally likely.</summary>
    public static IReadOnlyList<string> Answers(QuestionKind kind) => kind switch
    {
        QuestionKind.Count => World.Counts,
        QuestionKind.Colour => [.. World.Colours.Select(World.Name)],
        QuestionKind.Shape => [.. World.Kinds.Select(World.Name)],
        QuestionKind.Size => ["large", "small"],
        QuestionKind.Place => Demonstration.Place.Names,
        QuestionKind.Digit => World.Digits,
        QuestionKind.Word => World.Words,
        QuestionKind.Relation => ["yes", "no"],
        _ => [.. World.Kinds.Select(World.Corners)],
    };

    /// <summary>Share of right answers that guessing gives, over questions of all kinds in equal number.</summary>
    public static double Chance => Kinds.Average(kind => 1.0 / Answers(kind).Count);

    /// <summary>Asks about a scene.</summary>
    /// <returns>Null where the scene has nothing of the kind.</returns>
    public static SceneQuestion? Ask(QuestionKind kind, Scene scene, Random random)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentNullException.ThrowIfNull(random);
        var shape = scene.Shapes[random.Next(scene.Shapes.Count)];
        return kind switch
        {
            QuestionKind.Count => new(kind, "How many shapes are there?", World.Counts[scene.Shapes.Count - 1]),
            QuestionKind.Colour => new(kind, $"What colour is the {shape.Name}?", shape.ColourName),
            QuestionKind.Shape => new(kind, $"Which shape is {shape.ColourName}?", shape.Name),
            QuestionKind.Size => new(kind, $"Is the {shape.Name} large or small?", shape.SizeName),
            QuestionKind.Place => new(kind, $"Where is the {shape.Name}?", shape.Place.Name),
            QuestionKind.Digit => scene.Text is { IsDigit: true } text ? new(kind, "Which digit is shown?", text.Text) : null,
            QuestionKind.Word => scene.Text is { IsDigit: false } text ? new(kind, "Which word is shown?", text.Text) : null,
            QuestionKind.Corners => new(kind, $"How many corners does the {shape.ColourName} shape have?", World.Corners(shape.Kind)),
            _ => Relation(scene, random),
        };
    }

    /// <summary>Asks a few questions of different kinds, as many as the scene has.</summary>
    public static IReadOnlyList<SceneQuestion> AskSeveral(int count, Scene scene, Random random) =>
        [.. World.Shuffled(random, Kinds).Select(kind => Ask(kind, scene, random)).OfType<SceneQuestion>().Take(count)];

    private static SceneQuestion? Relation(Scene scene, Random random)
    {
        int direction = random.Next(Directions.Length);
        Func<SceneShape, int> along = direction < 2 ? s => s.Place.Column : s => s.Place.Row;
        // In the same column neither is left of the other.
        (SceneShape One, SceneShape Other)[] pairs = [.. scene.Shapes.SelectMany(a => scene.Shapes.Where(b => along(a) != along(b)).Select(b => (a, b)))];
        if (pairs.Length == 0)
        {
            return null;
        }
        var (one, other) = pairs[random.Next(pairs.Length)];
        bool holds = direction % 2 == 0 ? along(one) < along(other) : along(one) > along(other);
        return new(QuestionKind.Relation, $"Is the {one.Name} {Directions[direction]} the {other.Name}?", holds ? "yes" : "no");
    }
}
