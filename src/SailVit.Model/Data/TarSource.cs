using System.Formats.Tar;
using System.Text;
using Microsoft.Win32.SafeHandles;
using SailVit.Model.Text;

namespace SailVit.Model.Data;

/// <summary>WebDataset shards: tar archives in which the files of a sample follow each other and share a name up to the first dot.</summary>
/// <remarks>
/// A sample is one or more images (<c>.jpg</c>, <c>.png</c>, …) with <c>.json</c> (a conversation, or an object with <c>caption</c> or
/// <c>text</c>) or <c>.txt</c> (a caption). Images belong to the places in the order of the archive. Held in memory: where each
/// sample's files begin.
/// </remarks>
public sealed class TarSource : ISampleSource
{
    private const long MaxEntry = 1L << 30;
    private static readonly string[] ImageExtensions = ["jpg", "jpeg", "png", "webp", "gif", "bmp"];

    private readonly List<(string Path, SafeFileHandle File)> _shards = [];
    private readonly List<Entry[]> _samples = [];
    private readonly List<Skip> _damage = [];
    private readonly string _prompt;

    /// <summary>Opens shards and finds their samples.</summary>
    /// <param name="name">Names the source in messages.</param>
    /// <param name="paths">The shards; not compressed.</param>
    /// <param name="prompt">Asked of images that come with a caption alone.</param>
    /// <exception cref="DatasetException">A shard cannot be opened, or none holds a sample.</exception>
    public TarSource(string name, IReadOnlyList<string> paths, string prompt = SampleSources.DefaultPrompt)
    {
        ArgumentNullException.ThrowIfNull(paths);
        Name = name;
        _prompt = prompt;
        try
        {
            foreach (string path in paths)
            {
                _shards.Add((path, SampleSources.OpenFile(path)));
                Index(path, _shards.Count - 1);
            }
            if (_samples.Count == 0)
            {
                throw new DatasetException($"{name}: holds no sample{(_damage.Count > 0 ? $" ({_damage[0].Message})" : "")}. A compressed archive must be unpacked to .tar first.");
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public long Count => _samples.Count;

    /// <inheritdoc/>
    public IReadOnlyList<long> Groups => [Count];

    /// <inheritdoc/>
    public IReadOnlyList<Skip> Damage => _damage;

    /// <inheritdoc/>
    public ConversationSample Read(long index)
    {
        var entries = _samples[(int)index];
        string id = $"{_shards[entries[0].Shard].Path}, {entries[0].Key}";
        var images = entries.Where(entry => ImageExtensions.Contains(LastExtension(entry), StringComparer.OrdinalIgnoreCase))
            .Select(entry => new EncodedImage($"{id}.{entry.Extension}", () => Content(entry, id))).ToList();
        if (entries.FirstOrDefault(entry => LastExtension(entry) == "json") is { } json)
        {
            return ConversationReader.Parse(Content(json, id), id, root =>
                ConversationReader.Checked(id, ConversationReader.Messages(root, id) ?? Captions.From(root, _prompt, images.Count, id), images));
        }
        return entries.FirstOrDefault(entry => LastExtension(entry) == "txt") is { } text
            ? ConversationReader.Checked(id, Captions.From(Encoding.UTF8.GetString(Content(text, id)), _prompt, images.Count, id), images)
            : throw new SampleException(SkipReason.NoAnswer, $"{id}: has no .json and no .txt.");
    }

    /// <inheritdoc/>
    public void Dispose() => _shards.ForEach(shard => shard.File.Dispose());

    private void Index(string path, int shard)
    {
        var sample = new List<Entry>();
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            using var reader = new TarReader(stream);
            while (reader.GetNextEntry() is { } tarEntry)
            {
                if (tarEntry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile))
                {
                    continue;
                }
                var entry = Entry.Of(tarEntry.Name, shard, tarEntry.DataOffset, tarEntry.Length);
                if (sample.Count > 0 && sample[0].Key != entry.Key)
                {
                    Finish();
                }
                // The last file may be announced and not be there.
                if (entry.Offset + entry.Length > stream.Length)
                {
                    throw new EndOfStreamException("the archive ends in the middle of a file");
                }
                sample.Add(entry);
            }
            Finish();
        }
        catch (Exception e) when (e is IOException or InvalidDataException or ArgumentException or NotSupportedException or FormatException or OverflowException or InvalidOperationException)
        {
            // Its last sample may lack files; those before are whole.
            _damage.Add(new Skip(SkipReason.CutShort, $"{path}: is damaged after {_samples.Count(s => s[0].Shard == shard)} samples: {e.Message}"));
        }

        void Finish()
        {
            if (sample.Count > 0)
            {
                _samples.Add([.. sample]);
                sample.Clear();
            }
        }
    }

    private byte[] Content(Entry entry, string id)
    {
        if (entry.Length > MaxEntry)
        {
            throw ConversationReader.Malformed(id, $"{entry.Extension} has {entry.Length:N0} bytes; at most {MaxEntry:N0} are read");
        }
        byte[] content = new byte[entry.Length];
        SampleSources.ReadAll(_shards[entry.Shard].File, entry.Offset, content, id);
        return content;
    }

    // A second image may be named key.1.jpg.
    private static string LastExtension(Entry entry) => entry.Extension[(entry.Extension.LastIndexOf('.') + 1)..].ToLowerInvariant();

    private sealed record Entry(string Key, string Extension, int Shard, long Offset, long Length)
    {
        public static Entry Of(string name, int shard, long offset, long length)
        {
            int dot = name.IndexOf('.', name.LastIndexOf('/') + 1);
            return dot < 0 ? new Entry(name, "", shard, offset, length) : new Entry(name[..dot], name[(dot + 1)..], shard, offset, length);
        }
    }
}
