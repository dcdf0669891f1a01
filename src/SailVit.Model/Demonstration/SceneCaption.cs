namespace SailVit.Model.Demonstration;

/// <summary>Descriptions of a scene, of rising detail.</summary>
public static class SceneCaption
{
    /// <summary>What asks for <see cref="Coarse"/>.</summary>
    public const string CoarsePrompt = "Describe this image briefly.";

    /// <summary>What asks for <see cref="Dense"/>.</summary>
    public const string DensePrompt = "Describe this image in detail.";

    /// <summary>What there is, and what is written: <c>A circle, a star and the word sun.</c></summary>
    public static string Coarse(Scene scene) => Sentence(scene, shape => $"a {shape.Name}", text => Written(text));

    /// <summary>What there is, with sizes, colours and places: <c>A large red circle at the top left and the digit 7 in the centre.</c></summary>
    public static string Dense(Scene scene) => Sentence(scene,
        shape => $"a {shape.SizeName} {shape.ColourName} {shape.Name} {Where(shape.Place)}",
        text => $"{Written(text)} {Where(text.Place)}");

    /// <summary>The same facts without sentences: <c>large red circle top left; digit 7 centre</c>.</summary>
    public static string Notes(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        return string.Join("; ", Ordered(scene, s => $"{s.SizeName} {s.ColourName} {s.Name} {s.Place.Name}", text => $"{(text.IsDigit ? "digit" : "word")} {text.Text} {text.Place.Name}"));
    }

    private static string Written(SceneText text) => $"the {(text.IsDigit ? "digit" : "word")} {text.Text}";

    private static string Where(Place place) => place.Name == "centre" ? "in the centre" : $"at the {place.Name}";

    private static string Sentence(Scene scene, Func<SceneShape, string> shape, Func<SceneText, string> text)
    {
        ArgumentNullException.ThrowIfNull(scene);
        string[] parts = Ordered(scene, shape, text);
        string sentence = parts.Length == 1 ? parts[0] : $"{string.Join(", ", parts[..^1])} and {parts[^1]}";
        return $"{char.ToUpperInvariant(sentence[0])}{sentence[1..]}.";
    }

    private static string[] Ordered(Scene scene, Func<SceneShape, string> shape, Func<SceneText, string> text)
    {
        var parts = scene.Shapes.Select(s => (s.Place.Index, Words: shape(s)));
        if (scene.Text is { } written)
        {
            parts = parts.Append((written.Place.Index, text(written)));
        }
        return [.. parts.OrderBy(p => p.Index).Select(p => p.Words)];
    }
}
