using System.Collections;
using System.Text;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>Parquet files with image bytes, in the columns that Hugging Face's datasets use.</summary>
/// <remarks>
/// Images: <c>image</c> or <c>images</c>, as bytes or as {bytes, path}. Words: <c>conversations</c> (a list of {from, value}, or JSON text),
/// or <c>caption</c>, <c>text</c>, or <c>question</c> with <c>answer</c>. Held in memory: a few row groups.
/// </remarks>
public sealed class ParquetSource : ISampleSource
{
    // As many as are shuffled together, and one that is just begun.
    private const int CachedGroups = SampleOrder.GroupsTogether + 1;

    private static readonly string[] Words = ["conversations", "messages", "caption", "text", "question"];

    private readonly List<(string Path, int Index, long FirstRow)> _groups = [];
    private readonly List<long> _sizes = [];
    private readonly List<Skip> _damage = [];
    private readonly List<(int Group, Lazy<Rows> Rows)> _cache = [];
    private readonly Lock _lock = new();
    private readonly string _prompt;

    /// <summary>Opens files and reads their footers.</summary>
    /// <param name="name">Names the source in messages.</param>
    /// <param name="paths">The files.</param>
    /// <param name="prompt">Asked of images that come with a caption alone.</param>
    /// <exception cref="DatasetException">No file can be read, or none holds a row.</exception>
    public ParquetSource(string name, IReadOnlyList<string> paths, string prompt = SampleSources.DefaultPrompt)
    {
        ArgumentNullException.ThrowIfNull(paths);
        Name = name;
        _prompt = prompt;
        foreach (string path in paths)
        {
            Index(path);
        }
        Count = _sizes.Sum();
        if (Count == 0)
        {
            throw new DatasetException($"{name}: holds no row{(_damage.Count > 0 ? $" ({_damage[0].Message})" : "")}.");
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public long Count { get; }

    /// <inheritdoc/>
    public IReadOnlyList<long> Groups => _sizes;

    /// <inheritdoc/>
    public IReadOnlyList<Skip> Damage => _damage;

    /// <inheritdoc/>
    public ConversationSample Read(long index)
    {
        int group = 0;
        for (; index >= _sizes[group]; group++)
        {
            index -= _sizes[group];
        }
        var (path, _, firstRow) = _groups[group];
        string id = $"{path}, row {firstRow + index + 1}";
        var rows = Group(group);
        if (rows.Error is { } error)
        {
            throw ConversationReader.Malformed(id, $"its row group cannot be read: {error}");
        }
        return index < rows.Items.Count ? Sample(rows.Items[(int)index], id) : throw ConversationReader.Malformed(id, "the row group has fewer rows than announced");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _cache.Clear();
        }
    }

    private void Index(string path)
    {
        SampleSources.OpenFile(path).Dispose();
        var (sizes, error) = ParquetFile.Guarded(async () =>
        {
            await using var reader = await ParquetFile.OpenAsync(path).ConfigureAwait(false);
            return reader.Schema.Fields.Any(field => Words.Contains(field.Name)) ? ParquetFile.GroupSizes(reader.Metadata!)
                : throw new InvalidDataException($"its columns are {string.Join(", ", reader.Schema.Fields.Select(field => field.Name))}; needed is one of {string.Join(", ", Words)}");
        });
        if (sizes is null)
        {
            _damage.Add(new Skip(SkipReason.CutShort, $"{path}: is no Parquet file that can be read: {error}"));
            return;
        }
        long first = 0;
        for (int i = 0; i < sizes.Count; i++)
        {
            _groups.Add((path, i, first));
            _sizes.Add(sizes[i]);
            first += sizes[i];
        }
    }

    private Rows Group(int group)
    {
        Lazy<Rows> rows;
        lock (_lock)
        {
            int at = _cache.FindIndex(entry => entry.Group == group);
            rows = at >= 0 ? _cache[at].Rows : new Lazy<Rows>(() => Load(group));
            if (at >= 0)
            {
                _cache.RemoveAt(at);
            }
            else if (_cache.Count == CachedGroups)
            {
                _cache.RemoveAt(0);
            }
            _cache.Add((group, rows));
        }
        return rows.Value;
    }

    private Rows Load(int group)
    {
        var (path, index, _) = _groups[group];
        var (rows, error) = ParquetFile.Guarded(() => ParquetFile.ReadGroupAsync(path, index));
        return new Rows(rows ?? [], error);
    }

    private ConversationSample Sample(Dictionary<string, object> row, string id)
    {
        var images = Images(row, id);
        object? turns = row.GetValueOrDefault("conversations") ?? row.GetValueOrDefault("messages");
        var messages = turns switch
        {
            null => null,
            string json => ConversationReader.Parse(Encoding.UTF8.GetBytes($$"""{"conversations": {{json}}}"""), id, root => ConversationReader.Messages(root, id)),
            IEnumerable list => Turns(list, id),
            _ => throw ConversationReader.Malformed(id, "conversations are neither a list nor text"),
        };
        return ConversationReader.Checked(id, messages ?? Caption(row, images.Count, id), images);
    }

    private IReadOnlyList<ChatMessage> Caption(Dictionary<string, object> row, int images, string id)
    {
        var words = row.Where(column => column.Value is string).ToDictionary(column => column.Key, column => (string)column.Value);
        return ConversationReader.Parse(System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(words), id, root => Captions.From(root, _prompt, images, id));
    }

    private static List<ChatMessage> Turns(IEnumerable list, string id)
    {
        var messages = new List<ChatMessage>();
        foreach (object? turn in list)
        {
            if (turn is not IDictionary<string, object> fields || Text(fields, "from", "role") is not { } role || Text(fields, "value", "content") is not { } content)
            {
                throw ConversationReader.Malformed(id, "a turn has no from and value");
            }
            messages.Add(new ChatMessage(ConversationReader.Role(role, id), content));
        }
        return messages;

        static string? Text(IDictionary<string, object> fields, string key, string other) => (fields.TryGetValue(key, out object? value) || fields.TryGetValue(other, out value)) ? value as string : null;
    }

    private static List<EncodedImage> Images(Dictionary<string, object> row, string id)
    {
        object? value = row.GetValueOrDefault("image") ?? row.GetValueOrDefault("images");
        var items = value switch
        {
            null => [],
            byte[] or IDictionary<string, object> => [value],
            IEnumerable list and not string => list.Cast<object?>().ToList(),
            _ => throw ConversationReader.Malformed(id, "image is neither bytes nor {bytes, path}"),
        };
        return [.. items.Select((item, i) => new EncodedImage($"{id}, image {i + 1}", () => Bytes(item) ?? throw new SampleException(SkipReason.MissingImage, $"{id}: image {i + 1} has no bytes.")))];
    }

    private static byte[]? Bytes(object? image) => image switch
    {
        byte[] bytes => bytes,
        IDictionary<string, object> fields when fields.TryGetValue("bytes", out object? bytes) => bytes as byte[],
        _ => null,
    };

    private sealed record Rows(IReadOnlyList<Dictionary<string, object>> Items, string? Error);
}
