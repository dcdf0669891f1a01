using System.Text;
using SailVit.Model.Images;

namespace SailVit.Model.Evaluation.Vqa;

/// <summary>One row of a set in VLMEvalKit's form.</summary>
public sealed class VqaQuestion
{
    // A shorter entry is the index of the row that has the image.
    private const int LongestReference = 64;

    private readonly Dictionary<string, string> _fields;

    private VqaQuestion(Dictionary<string, string> fields, IReadOnlyList<string> images)
    {
        _fields = fields;
        Images = images;
        Options = Enumerable.Range('A', 26).Select(c => $"{(char)c}").Where(fields.ContainsKey).ToDictionary(c => c, c => fields[c]);
    }

    /// <summary>Unique in the set.</summary>
    public string Index => _fields["index"];

    /// <summary>What is asked.</summary>
    public string Question => Field("question") ?? "";

    /// <summary>What is right, as it stands in the file; empty in sets whose answers are not published.</summary>
    public string Answer => Field("answer") ?? "";

    /// <summary>Texts of the options by letter.</summary>
    public IReadOnlyDictionary<string, string> Options { get; }

    /// <summary>Images: base64, or paths of files.</summary>
    public IReadOnlyList<string> Images { get; }

    /// <summary>Whether <see cref="Images"/> are paths.</summary>
    public bool ImagesArePaths => !_fields.ContainsKey("image");

    /// <summary>Another column; null where it is missing or empty.</summary>
    public string? Field(string name) => _fields.GetValueOrDefault(name);

    /// <summary>Decodes an image.</summary>
    /// <param name="image">Which one.</param>
    /// <param name="source">The set, for messages.</param>
    /// <exception cref="ImageException">It is missing, no base64, or no image.</exception>
    public RgbImage Decode(int image, string source)
    {
        if (ImagesArePaths)
        {
            return ImageDecoder.Decode(Images[image]);
        }
        string name = $"{source}, image {image + 1} of question {Index}";
        byte[] content = new byte[Images[image].Length];
        return Convert.TryFromBase64String(Images[image], content, out int length) ? ImageDecoder.Decode(content.AsSpan(0, length), name)
            : throw new ImageException($"{name}: is no base64.");
    }

    /// <summary>Reads a set.</summary>
    /// <param name="path">The .tsv file. Relative image_path entries are relative to its folder.</param>
    /// <exception cref="ArgumentException">The file is missing, is cut short, or lacks what every set has.</exception>
    public static IReadOnlyList<VqaQuestion> ReadAll(string path)
    {
        if (!File.Exists(path))
        {
            throw new ArgumentException($"{path}: there is no such file.");
        }
        using var text = new StreamReader(path, Encoding.UTF8);
        return ReadAll(text, path);
    }

    internal static IReadOnlyList<VqaQuestion> ReadAll(TextReader text, string path)
    {
        var rows = TsvReader.Read(text, path).ToList();
        var byIndex = new Dictionary<string, Dictionary<string, string>>();
        foreach (var row in rows)
        {
            if (!row.TryGetValue("index", out string? index) || !row.ContainsKey("question"))
            {
                throw new ArgumentException($"{path}: a row has no index or no question; a set in VLMEvalKit's form has the columns index, question and answer, and image or image_path.");
            }
            if (!byIndex.TryAdd(index, row))
            {
                throw new ArgumentException($"{path}: the index {index} stands there twice.");
            }
        }
        return rows.Count > 0 ? [.. rows.Select(row => new VqaQuestion(row, ImagesOf(row, byIndex, path)))] : throw new ArgumentException($"{path}: holds no question.");
    }

    private static List<string> ImagesOf(Dictionary<string, string> row, Dictionary<string, Dictionary<string, string>> rows, string path)
    {
        if (row.TryGetValue("image", out string? image))
        {
            string? content = image.Length > LongestReference ? image : rows.GetValueOrDefault(image.Trim())?.GetValueOrDefault("image");
            return content is { Length: > LongestReference } ? [.. PythonList.Parse(content)]
                : throw new ArgumentException($"{path}: row {row["index"]} refers to the image of row {image}, which has none.");
        }
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return row.TryGetValue("image_path", out string? paths) ? [.. PythonList.Parse(paths).Select(p => Path.Combine(folder, p))] : [];
    }
}
