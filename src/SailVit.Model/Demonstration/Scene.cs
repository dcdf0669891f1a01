namespace SailVit.Model.Demonstration;

/// <summary>Form of a shape.</summary>
public enum ShapeKind
{
    /// <summary>A disc, without corners.</summary>
    Circle,

    /// <summary>Four corners.</summary>
    Square,

    /// <summary>Three corners.</summary>
    Triangle,

    /// <summary>Five points, ten corners.</summary>
    Star,

    /// <summary>Two bars, twelve corners.</summary>
    Cross,
}

/// <summary>Colour of a shape.</summary>
public enum ShapeColour
{
    /// <summary>Red.</summary>
    Red,

    /// <summary>Green.</summary>
    Green,

    /// <summary>Blue.</summary>
    Blue,

    /// <summary>Yellow.</summary>
    Yellow,

    /// <summary>Purple.</summary>
    Purple,

    /// <summary>Black.</summary>
    Black,
}

/// <summary>Where something stands, in thirds of the picture.</summary>
/// <param name="Row">0 is the top.</param>
/// <param name="Column">0 is the left.</param>
/// <param name="Right">Pixels off the middle of the third, to the right.</param>
/// <param name="Down">Pixels off the middle of the third, downwards.</param>
public readonly record struct Place(int Row, int Column, int Right = 0, int Down = 0)
{
    /// <summary>Names of all nine, row by row.</summary>
    public static IReadOnlyList<string> Names { get; } = ["top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"];

    /// <summary>Number in the order of reading.</summary>
    public int Index => (3 * Row) + Column;

    /// <summary>Such as <c>top left</c>.</summary>
    public string Name => Names[Index];
}

/// <summary>A shape in a scene.</summary>
/// <param name="Kind">Its form; no two in a scene have the same.</param>
/// <param name="Colour">Its colour; no two in a scene have the same.</param>
/// <param name="Large">Whether it is large rather than small.</param>
/// <param name="Place">Where its middle is.</param>
/// <param name="Turn">Degrees by which it is turned.</param>
public sealed record SceneShape(ShapeKind Kind, ShapeColour Colour, bool Large, Place Place, int Turn)
{
    /// <summary>The form in words.</summary>
    public string Name => World.Name(Kind);

    /// <summary>The colour in words.</summary>
    public string ColourName => World.Name(Colour);

    /// <summary>The size in words.</summary>
    public string SizeName => Large ? "large" : "small";
}

/// <summary>A digit or a word in a scene.</summary>
/// <param name="Text">What is written.</param>
/// <param name="Place">Where its middle is.</param>
public sealed record SceneText(string Text, Place Place)
{
    /// <summary>Whether it is a digit rather than a word.</summary>
    public bool IsDigit => char.IsAsciiDigit(Text[0]);
}

/// <summary>Everything that a picture shows, of which texts and questions are made.</summary>
/// <param name="Shapes">One to five, in the order of reading.</param>
/// <param name="Text">A digit or word; null for none.</param>
/// <param name="Decoration">Seed of what no text speaks of: the background and thin lines.</param>
public sealed record Scene(IReadOnlyList<SceneShape> Shapes, SceneText? Text, int Decoration)
{
    /// <summary>The shape of a form; null where there is none.</summary>
    public SceneShape? Find(ShapeKind kind) => Shapes.FirstOrDefault(s => s.Kind == kind);
}
