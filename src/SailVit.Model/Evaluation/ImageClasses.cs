using SailVit.Model.Images;

namespace SailVit.Model.Evaluation;

/// <summary>Images in one folder per class.</summary>
public sealed class ImageClasses
{
    private ImageClasses(IReadOnlyList<string> classes, IReadOnlyList<(string Path, int Class)> images)
    {
        Classes = classes;
        Images = images;
    }

    /// <summary>Names of the classes, in the order of their numbers.</summary>
    public IReadOnlyList<string> Classes { get; }

    /// <summary>All images, classes in order, files by name.</summary>
    public IReadOnlyList<(string Path, int Class)> Images { get; }

    /// <summary>Reads the folders.</summary>
    /// <param name="folder">Holds one folder per class.</param>
    /// <param name="classes">Classes of the training set, where this is a test set: a folder that is none of them is an error, a missing one is not.</param>
    /// <exception cref="ArgumentException">No such folder, fewer than two classes, a class without images, or an unknown class.</exception>
    public static ImageClasses Open(string folder, IReadOnlyList<string>? classes = null)
    {
        if (!Directory.Exists(folder))
        {
            throw new ArgumentException($"{folder}: there is no such folder.");
        }
        List<string> found = [.. Directory.EnumerateDirectories(folder).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        var names = classes ?? found;
        if (names.Count < 2)
        {
            throw new ArgumentException($"{folder}: has {names.Count} folders of classes; a probe needs at least 2, each with its images.");
        }
        if (found.Except(names).FirstOrDefault() is { } unknown)
        {
            throw new ArgumentException($"{folder}: holds the class {unknown}, which the training set does not have.");
        }
        var images = new List<(string, int)>();
        foreach (string name in found)
        {
            var files = Directory.EnumerateFiles(Path.Combine(folder, name)).Where(f => ImageDecoder.IsImage(f)).Order(StringComparer.Ordinal).ToList();
            if (files.Count == 0)
            {
                throw new ArgumentException($"{Path.Combine(folder, name)}: holds no image ({string.Join(", ", ImageDecoder.Extensions)}).");
            }
            int number = names.ToList().IndexOf(name);
            images.AddRange(files.Select(f => (f, number)));
        }
        return new(names, images);
    }
}
