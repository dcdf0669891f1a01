using System.Collections;

namespace SailVit.Model.Data;

/// <summary>The rows of Parquet files, in any order; held in memory: a few row groups.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class ParquetRows
{
    // As many as are shuffled together, and one that is just begun.
    private const int CachedGroups = SampleOrder.GroupsTogether + 1;

    private readonly List<(string Path, int Index, long FirstRow)> _groups = [];
    private readonly List<long> _sizes = [];
    private readonly List<Skip> _damage = [];
    private readonly List<(int Group, Lazy<Rows> Rows)> _cache = [];
    private readonly Lock _lock = new();

    /// <summary>Opens files and reads their footers.</summary>
    /// <param name="name">For messages.</param>
    /// <param name="paths">The files.</param>
    /// <param name="needed">Columns of which a file must have one.</param>
    /// <exception cref="DatasetException">No file can be read, or none holds a row.</exception>
    public ParquetRows(string name, IReadOnlyList<string> paths, params string[] needed)
    {
        foreach (string path in paths)
        {
            Index(path, needed);
        }
        Count = _sizes.Sum();
        if (Count == 0)
        {
            throw new DatasetException($"{name}: holds no row that can be used{(_damage.Count > 0 ? $" ({_damage[0].Message})" : "")}.");
        }
    }

    public long Count { get; }

    public IReadOnlyList<long> Groups => _sizes;

    public IReadOnlyList<Skip> Damage => _damage;

    /// <summary>A row, and what it is called in messages.</summary>
    /// <exception cref="SampleException">It cannot be read.</exception>
    public (Dictionary<string, object> Row, string Id) Read(long index)
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
        return index < rows.Items.Count ? (rows.Items[(int)index], id) : throw ConversationReader.Malformed(id, "the row group has fewer rows than announced");
    }

    /// <summary>The images of a row, under <c>image</c> or <c>images</c>: bytes, or {bytes, path}, or a list of such.</summary>
    public static List<EncodedImage> Images(Dictionary<string, object> row, string id)
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

    private void Index(string path, string[] needed)
    {
        SampleSources.OpenFile(path).Dispose();
        var (file, error) = ParquetFile.Guarded(async () =>
        {
            await using var reader = await ParquetFile.OpenAsync(path).ConfigureAwait(false);
            return Tuple.Create(reader.Schema.Fields.Select(field => field.Name).ToList(), ParquetFile.GroupSizes(reader.Metadata!));
        });
        if (file is not var (columns, sizes) || !columns.Any(needed.Contains))
        {
            _damage.Add(file is null ? new Skip(SkipReason.CutShort, $"{path}: is no Parquet file that can be read: {error}")
                : new Skip(SkipReason.Malformed, $"{path}: its columns are {string.Join(", ", file.Item1)}; needed is one of {string.Join(", ", needed)}"));
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

    private static byte[]? Bytes(object? image) => image switch
    {
        byte[] bytes => bytes,
        IDictionary<string, object> fields when fields.TryGetValue("bytes", out object? bytes) => bytes as byte[],
        _ => null,
    };

    private sealed record Rows(IReadOnlyList<Dictionary<string, object>> Items, string? Error);
}
