using Microsoft.Win32.SafeHandles;

namespace SailVit.Model.Data;

/// <summary>Opens data by what it is.</summary>
public static class SampleSources
{
    /// <summary>The question asked of an image that comes with a caption alone.</summary>
    public const string DefaultPrompt = "Describe this image.";

    /// <summary>Opens a <c>.jsonl</c> file, <c>.tar</c> shards or <c>.parquet</c> files.</summary>
    /// <param name="path">A file, a folder of shards, or a pattern such as <c>data/*.tar</c> in one folder.</param>
    /// <param name="imageFolder">Images of a <c>.jsonl</c> file; its own folder by default.</param>
    /// <param name="prompt">Asked of images that come with a caption alone.</param>
    /// <exception cref="DatasetException">There is no such data, or none of a known kind.</exception>
    public static ISampleSource Open(string path, string? imageFolder = null, string prompt = DefaultPrompt)
    {
        ArgumentNullException.ThrowIfNull(path);
        var files = Expand(path);
        if (files.All(file => Is(file, ".jsonl")) && files.Count == 1)
        {
            return new JsonlSource(files[0], imageFolder);
        }
        if (files.All(file => Is(file, ".tar")))
        {
            return new TarSource(path, files, prompt);
        }
        if (files.All(file => Is(file, ".parquet")))
        {
            return new ParquetSource(path, files, prompt);
        }
        throw new DatasetException($"{path}: is no data of a known kind: one .jsonl file, .tar shards (not compressed) or .parquet files, not mixed.");
    }

    internal static SafeFileHandle OpenFile(string path)
    {
        try
        {
            return File.OpenHandle(path, options: FileOptions.RandomAccess);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DatasetException($"{path}: there is no such file.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new DatasetException($"{path}: could not be read: {e.Message}", e);
        }
    }

    internal static void ReadAll(SafeFileHandle file, long offset, Span<byte> content, string where)
    {
        try
        {
            for (int done = 0; done < content.Length;)
            {
                int read = RandomAccess.Read(file, content[done..], offset + done);
                done += read > 0 ? read : throw new IOException("the file ends too soon");
            }
        }
        catch (IOException e)
        {
            throw new SampleException(SkipReason.CutShort, $"{where}: {e.Message}.", e);
        }
    }

    /// <summary>The files of data: one, those of a folder, or of a pattern.</summary>
    internal static List<string> Expand(string path)
    {
        if (File.Exists(path))
        {
            return [path];
        }
        string folder = Directory.Exists(path) ? path : Path.GetDirectoryName(path) is { Length: > 0 } parent ? parent : ".";
        string pattern = Directory.Exists(path) ? "*" : Path.GetFileName(path);
        if (!Directory.Exists(folder))
        {
            throw new DatasetException($"{path}: there is no such file or folder.");
        }
        var files = Directory.EnumerateFiles(folder, pattern).Where(file => Is(file, ".jsonl") || Is(file, ".tar") || Is(file, ".parquet")).Order(StringComparer.Ordinal).ToList();
        return files.Count > 0 ? files : throw new DatasetException($"{path}: there is no such file, nor any .jsonl, .tar or .parquet file there.");
    }

    internal static bool Is(string file, string extension) => file.EndsWith(extension, StringComparison.OrdinalIgnoreCase);
}
