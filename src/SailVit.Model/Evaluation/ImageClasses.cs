using System.Globalization;
using SailVit.Model.Data;
using SailVit.Model.Images;

namespace SailVit.Model.Evaluation;

/// <summary>Images in one folder per class, or in Parquet with a column of labels.</summary>
public sealed class ImageClasses
{
    private ImageClasses(IReadOnlyList<string> classes, IReadOnlyList<(Func<RgbImage> Decode, int Class)> images, IReadOnlyList<string> files) =>
        (Classes, Images, Files) = (classes, images, files);

    /// <summary>Names of the classes, in the order of their numbers.</summary>
    public IReadOnlyList<string> Classes { get; }

    /// <summary>All images: of folders, classes in order and files by name; of Parquet, as the rows are.</summary>
    public IReadOnlyList<(Func<RgbImage> Decode, int Class)> Images { get; }

    /// <summary>The files that hold the images.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <summary>Reads the folders, or the labels.</summary>
    /// <param name="folder">Holds one folder per class; or a <c>.parquet</c> file, a folder of them, or a pattern, with columns <c>image</c> (bytes, or
    /// {bytes, path}) and <c>label</c> (a number or a name).</param>
    /// <param name="classes">Classes of the training set, where this is a test set: a folder that is none of them is an error, a missing one is not.</param>
    /// <exception cref="ArgumentException">No such folder, fewer than two classes, a class without images, or an unknown class.</exception>
    public static ImageClasses Open(string folder, IReadOnlyList<string>? classes = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        if (SampleSources.Is(folder, ".parquet") || (Directory.Exists(folder) && Directory.EnumerateFiles(folder, "*.parquet").Any()))
        {
            return Parquet(folder, classes);
        }
        if (!Directory.Exists(folder))
        {
            throw new ArgumentException($"{folder}: there is no such folder, nor is it a .parquet file.");
        }
        List<string> found = [.. Directory.EnumerateDirectories(folder).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        var names = classes ?? found;
        Check(folder, found, names);
        var images = new List<(string Path, int Class)>();
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
        return new(names, [.. images.Select(i => ((Func<RgbImage>)(() => ImageDecoder.Decode(i.Path)), i.Class))], [.. images.Select(i => i.Path)]);
    }

    private static ImageClasses Parquet(string path, IReadOnlyList<string>? classes)
    {
        try
        {
            var files = SampleSources.Expand(path);
            var rows = new ParquetRows(path, files, "label");
            if (rows.Damage.Count > 0)
            {
                throw new ArgumentException(rows.Damage[0].Message);
            }
            string[] labels = new string[rows.Count];
            for (long i = 0; i < rows.Count; i++)
            {
                var (row, id) = rows.Read(i);
                labels[i] = Label(row) ?? throw new ArgumentException($"{id}: label is neither a number nor a name.");
            }
            bool numbers = labels.All(label => long.TryParse(label, CultureInfo.InvariantCulture, out _));
            List<string> found = [.. numbers ? labels.Distinct().OrderBy(label => long.Parse(label, CultureInfo.InvariantCulture)) : labels.Distinct().Order(StringComparer.Ordinal)];
            var names = classes ?? found;
            Check(path, found, names);
            var number = names.Select((name, i) => (name, i)).ToDictionary(n => n.name, n => n.i);
            return new(names, [.. labels.Select((label, i) => ((Func<RgbImage>)(() => Image(rows, i)), number[label]))], files);
        }
        catch (Exception e) when (e is SampleException or DatasetException)
        {
            throw new ArgumentException(e.Message, e);
        }
    }

    private static string? Label(Dictionary<string, object> row) => row.GetValueOrDefault("label") switch
    {
        string { Length: > 0 } name => name,
        sbyte or byte or short or ushort or int or uint or long or ulong => Convert.ToString(row["label"], CultureInfo.InvariantCulture),
        _ => null,
    };

    private static RgbImage Image(ParquetRows rows, long index)
    {
        try
        {
            var (row, id) = rows.Read(index);
            return ParquetRows.Images(row, id) is [var image] ? ImageDecoder.Decode(image.Read(), image.Name)
                : throw new ArgumentException($"{id}: has no image, or several; a probe needs one.");
        }
        catch (SampleException e)
        {
            throw new ArgumentException(e.Message, e);
        }
    }

    private static void Check(string path, List<string> found, IReadOnlyList<string> names)
    {
        if (names.Count < 2)
        {
            throw new ArgumentException($"{path}: has {names.Count} classes; a probe needs at least 2, each with its images.");
        }
        if (found.Count == 0)
        {
            throw new ArgumentException($"{path}: holds no class; it must have one folder with images for each.");
        }
        if (found.Except(names).FirstOrDefault() is { } unknown)
        {
            throw new ArgumentException($"{path}: holds the class {unknown}, which the training set does not have.");
        }
    }
}
