using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>New shards beside an old checkpoint, and the order of renames that puts them in its place.</summary>
/// <remarks>
/// Readers take <c>model.safetensors</c> where it exists, else what the index names; each of the two appears by one rename,
/// and that rename is the moment of the change. Only shards of the same names as the old ones need more: the index first
/// names the new files where they lie, then links take the final names, then the index names those, and at last the files
/// themselves move there.
/// </remarks>
internal sealed partial class CheckpointSwap : IDisposable
{
    private static readonly IReadOnlyDictionary<string, string> Metadata = new Dictionary<string, string> { ["format"] = "pt" };

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly string _folder;
    private readonly IReadOnlyList<List<string>> _shards;
    private readonly string[] _names;
    private readonly List<SafetensorsWriter> _writers = [];
    private readonly Action? _afterEachStep;
    private long _totalBytes;

    public CheckpointSwap(string folder, IReadOnlyList<List<string>> shards, Action? afterEachStep)
    {
        (_folder, _shards, _afterEachStep) = (folder, shards, afterEachStep);
        _names = shards.Count == 1
            ? [Checkpoint.FileName]
            : [.. shards.Select((_, i) => string.Create(CultureInfo.InvariantCulture, $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors"))];
    }

    /// <summary>Writes all shards beside. Their space is reserved before the first byte, so a full disk shows at once.</summary>
    public void Write(IReadOnlyDictionary<string, Tensor> tensors)
    {
        _totalBytes = tensors.Values.Sum(CheckpointWriter.Bytes);
        for (int i = 0; i < _shards.Count; i++)
        {
            _writers.Add(new SafetensorsWriter(At(_names[i]), _shards[i].Select(name => (name, tensors[name].dtype, tensors[name].shape)), Metadata));
        }
        for (int i = 0; i < _shards.Count; i++)
        {
            _shards[i].ForEach(name => _writers[i].Write(name, tensors[name]));
            _writers[i].File.Complete();
        }
    }

    /// <summary>Puts everything in place and removes what is left of the old checkpoint.</summary>
    public void Commit(string? config)
    {
        if (config is not null && !(File.Exists(At(ConfigFile.Name)) && Files.ReadAllText(At(ConfigFile.Name)) == config))
        {
            WriteText(ConfigFile.Name, config);
        }
        if (_shards.Count > 1 && _names.Any(name => File.Exists(At(name))))
        {
            WriteIndex(_writers.Select(writer => Path.GetFileName(writer.File.Beside)));
            Delete(Checkpoint.FileName);
            for (int i = 0; i < _names.Length; i++)
            {
                LinkFinalName(i);
            }
            WriteIndex(_names);
        }
        foreach (var writer in _writers)
        {
            writer.File.Rename();
            _afterEachStep?.Invoke();
        }
        if (_shards.Count > 1)
        {
            WriteIndex(_names);
            Delete(Checkpoint.FileName);
        }
        else
        {
            Delete(Checkpoint.IndexName);
        }
        foreach (string stale in Directory.GetFiles(_folder).Select(file => Path.GetFileName(file)).Where(name => Shard().IsMatch(name) && !_names.Contains(name)))
        {
            Delete(stale);
        }
    }

    public void Dispose() => _writers.ForEach(writer => writer.Dispose());

    // Where the file system has no links (or Windows does not allow them), the following renames do the same, but a kill
    // between them would leave the index with shards of both checkpoints.
    private void LinkFinalName(int shard)
    {
        string link = _writers[shard].File.Beside + ".link";
        try
        {
            File.CreateSymbolicLink(link, Path.GetFileName(_writers[shard].File.Beside));
            File.Move(link, At(_names[shard]), overwrite: true);
            _afterEachStep?.Invoke();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            File.Delete(link);
        }
    }

    private void WriteIndex(IEnumerable<string> shardNames)
    {
        var map = new SortedDictionary<string, JsonNode?>(StringComparer.Ordinal);
        foreach (var (shard, tensors) in shardNames.Zip(_shards))
        {
            tensors.ForEach(name => map.Add(name, shard));
        }
        var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = _totalBytes }, ["weight_map"] = new JsonObject(map) };
        WriteText(Checkpoint.IndexName, index.ToJsonString(Indented) + "\n");
    }

    private void WriteText(string name, string text)
    {
        Files.WriteAtomically(At(name), stream => stream.Write(Encoding.UTF8.GetBytes(text)));
        _afterEachStep?.Invoke();
    }

    private void Delete(string name)
    {
        if (!File.Exists(At(name)))
        {
            return;
        }
        try
        {
            File.Delete(At(name));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{At(name)}: the new checkpoint is written, but this file of the old one could not be removed: {e.Message}", e);
        }
        _afterEachStep?.Invoke();
    }

    private string At(string name) => Path.Combine(_folder, name);

    // A shard, or what a killed write left of one.
    [GeneratedRegex(@"^model-\d{5}-of-\d{5}\.safetensors(\.[0-9a-f]+-[0-9a-f]{32}\.tmp)?$|^model\.safetensors\.[0-9a-f]+-[0-9a-f]{32}\.tmp$", RegexOptions.CultureInvariant)]
    private static partial Regex Shard();
}
