namespace SailVit.Model.Demonstration;

/// <summary>The synthetic world of the demonstration: what there is, and how scenes are drawn from it.</summary>
/// <remarks>
/// Number, forms, colours, sizes, places and texts are drawn independently and evenly, so that nothing in a question says
/// anything about its answer: without the picture an answer can only be guessed.
/// </remarks>
public static class World
{
    /// <summary>Most shapes of a scene.</summary>
    public const int MostShapes = 5;

    // Leaves a large shape in its third of the picture.
    private const int Jitter = 3, MostTurn = 20;

    /// <summary>Words that are written in scenes.</summary>
    public static IReadOnlyList<string> Words { get; } = ["sun", "map", "key", "cup", "box", "hat", "pen", "log"];

    /// <summary>Digits that are written in scenes.</summary>
    public static IReadOnlyList<string> Digits { get; } = [.. Enumerable.Range(0, 10).Select(d => $"{d}")];

    /// <summary>Numbers of shapes in words, from one.</summary>
    public static IReadOnlyList<string> Counts { get; } = ["one", "two", "three", "four", "five"];

    /// <summary>All forms.</summary>
    public static IReadOnlyList<ShapeKind> Kinds { get; } = Enum.GetValues<ShapeKind>();

    /// <summary>All colours.</summary>
    public static IReadOnlyList<ShapeColour> Colours { get; } = Enum.GetValues<ShapeColour>();

    /// <summary>A form in words.</summary>
    public static string Name(ShapeKind kind) => kind switch
    {
        ShapeKind.Circle => "circle",
        ShapeKind.Square => "square",
        ShapeKind.Triangle => "triangle",
        ShapeKind.Star => "star",
        _ => "cross",
    };

    /// <summary>A colour in words.</summary>
    public static string Name(ShapeColour colour) => colour switch
    {
        ShapeColour.Red => "red",
        ShapeColour.Green => "green",
        ShapeColour.Blue => "blue",
        ShapeColour.Yellow => "yellow",
        ShapeColour.Purple => "purple",
        _ => "black",
    };

    /// <summary>How many corners a form has, in words: what no picture says in so many words.</summary>
    public static string Corners(ShapeKind kind) => kind switch
    {
        ShapeKind.Circle => "none",
        ShapeKind.Square => "four",
        ShapeKind.Triangle => "three",
        ShapeKind.Star => "ten",
        _ => "twelve",
    };

    /// <summary>Draws a scene.</summary>
    public static Scene Draw(Random random)
    {
        ArgumentNullException.ThrowIfNull(random);
        int count = random.Next(1, MostShapes + 1);
        int[] cells = Shuffled(random, Enumerable.Range(0, Place.Names.Count));
        var kinds = Shuffled(random, Kinds);
        var colours = Shuffled(random, Colours);
        var shapes = Enumerable.Range(0, count)
            .Select(i => new SceneShape(kinds[i], colours[i], random.Next(2) == 1, At(random, cells[i]), random.Next(-MostTurn, MostTurn + 1)))
            .OrderBy(s => s.Place.Index).ToList();
        // As often a digit as a word as neither.
        var texts = random.Next(3) switch { 0 => Digits, 1 => Words, _ => null };
        var text = texts is null ? null : new SceneText(texts[random.Next(texts.Count)], new Place(cells[count] / 3, cells[count] % 3));
        return new Scene(shapes, text, random.Next());
    }

    private static Place At(Random random, int cell) => new(cell / 3, cell % 3, random.Next(-Jitter, Jitter + 1), random.Next(-Jitter, Jitter + 1));

    internal static T[] Shuffled<T>(Random random, IEnumerable<T> items)
    {
        T[] shuffled = [.. items];
        random.Shuffle(shuffled);
        return shuffled;
    }
}
