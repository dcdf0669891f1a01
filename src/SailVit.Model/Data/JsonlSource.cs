using Microsoft.Win32.SafeHandles;

namespace SailVit.Model.Data;

/// <summary>Conversations, one JSON object a line, with images in a folder. Held in memory: where each line begins.</summary>
public sealed class JsonlSource : ISampleSource
{
    private const int MaxLine = 64 << 20;
    private const long MaxImage = 1L << 30;
    private const int ScanBuffer = 1 << 20;

    private readonly SafeFileHandle _file;
    private readonly string _images;
    private readonly List<(long Start, int Length)> _lines = [];

    /// <summary>Opens a file and finds its lines; blank ones are none.</summary>
    /// <param name="path">The file.</param>
    /// <param name="imageFolder">Where the images lie, and nothing outside it is read; the file's own folder by default.</param>
    /// <exception cref="DatasetException">The file cannot be read, or holds nothing.</exception>
    public JsonlSource(string path, string? imageFolder = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        Name = path;
        _images = Path.TrimEndingDirectorySeparator(Path.GetFullPath(imageFolder ?? Path.GetDirectoryName(Path.GetFullPath(path))!)) + Path.DirectorySeparatorChar;
        _file = SampleSources.OpenFile(path);
        try
        {
            Scan();
        }
        catch (IOException e)
        {
            _file.Dispose();
            throw new DatasetException($"{path}: {e.Message}", e);
        }
        if (_lines.Count == 0)
        {
            _file.Dispose();
            throw new DatasetException($"{path}: holds no line.");
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public long Count => _lines.Count;

    /// <inheritdoc/>
    public IReadOnlyList<long> Groups => [Count];

    /// <inheritdoc/>
    public IReadOnlyList<Skip> Damage => [];

    /// <inheritdoc/>
    public ConversationSample Read(long index)
    {
        var (start, length) = _lines[(int)index];
        string where = $"{Name}, sample {index + 1}";
        if (length > MaxLine)
        {
            throw ConversationReader.Malformed(where, $"the line has {length:N0} bytes; at most {MaxLine:N0} are read");
        }
        byte[] line = new byte[length];
        SampleSources.ReadAll(_file, start, line, where);
        return ConversationReader.Parse(line, where, json =>
        {
            string id = ConversationReader.Id(json, where);
            var images = ConversationReader.Images(json, id).Select(name => Image(name, id)).ToList();
            var messages = ConversationReader.Messages(json, id) ?? throw ConversationReader.Malformed(id, "conversations are missing");
            return ConversationReader.Checked(id, messages, images);
        });
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private void Scan()
    {
        byte[] buffer = new byte[ScanBuffer];
        long offset = 0, start = 0;
        bool blank = true;
        for (int read; (read = RandomAccess.Read(_file, buffer, offset)) > 0; offset += read)
        {
            var rest = buffer.AsSpan(0, read);
            while (!rest.IsEmpty)
            {
                int end = rest.IndexOf((byte)'\n');
                var part = end < 0 ? rest : rest[..end];
                blank &= part.IndexOfAnyExcept(" \t\r"u8) < 0;
                rest = end < 0 ? [] : rest[(end + 1)..];
                if (end >= 0)
                {
                    End(offset + read - rest.Length - 1);
                    start = offset + read - rest.Length;
                    blank = true;
                }
            }
        }
        End(offset);

        void End(long end)
        {
            if (!blank)
            {
                // A byte-order mark is no part of the first line's text.
                long from = start == 0 && HasMark() ? 3 : start;
                _lines.Add((from, (int)Math.Min(end - from, int.MaxValue)));
            }
        }
    }

    private bool HasMark()
    {
        byte[] mark = new byte[3];
        return RandomAccess.Read(_file, mark, 0) == 3 && mark.AsSpan().SequenceEqual("\uFEFF"u8);
    }

    private EncodedImage Image(string name, string id)
    {
        string path;
        try
        {
            path = Path.GetFullPath(Path.Combine(_images, name));
        }
        catch (ArgumentException e)
        {
            throw new SampleException(SkipReason.MissingImage, $"{id}: the image's name is no path: {e.Message}", e);
        }
        if (!path.StartsWith(_images, StringComparison.Ordinal))
        {
            throw new SampleException(SkipReason.MissingImage, $"{id}: the image {name} lies outside the image folder {_images}.");
        }
        return new EncodedImage($"{id}, image {name}", () => ReadImage(path, name, id));
    }

    private static byte[] ReadImage(string path, string name, string id)
    {
        try
        {
            var file = new FileInfo(path);
            return file.Exists && file.Length > MaxImage ? throw new IOException($"has {file.Length:N0} bytes; at most {MaxImage:N0} are read")
                : File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new SampleException(SkipReason.MissingImage, $"{id}: the image {name} could not be read: {(e is FileNotFoundException or DirectoryNotFoundException ? "there is no such file" : e.Message)}.", e);
        }
    }
}
