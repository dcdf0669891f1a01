using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>The tensors of a checkpoint: one safetensors file, or the shards of a <c>model.safetensors.index.json</c>.</summary>
public sealed class Checkpoint : IDisposable
{
    /// <summary>The usual name of the file inside a checkpoint folder.</summary>
    public const string FileName = "model.safetensors";

    /// <summary>The usual name of the list of shards.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private readonly List<SafetensorsFile> _shards = [];
    private readonly Dictionary<string, SafetensorsFile> _tensors = [];

    private Checkpoint(string path) => Path = path;

    /// <summary>The file or index that was opened.</summary>
    public string Path { get; }

    /// <summary>Names of all tensors.</summary>
    public IReadOnlyCollection<string> Names => _tensors.Keys;

    /// <summary>Bytes of all tensors.</summary>
    public long Bytes => _tensors.Sum(pair => pair.Value.Tensors[pair.Key].Length);

    /// <summary>Opens a safetensors file, an index, or the folder that holds one.</summary>
    /// <exception cref="CheckpointException">There is none, or it is malformed.</exception>
    public static Checkpoint Open(string path)
    {
        string file = Directory.Exists(path) ? Find(path) : path;
        var checkpoint = new Checkpoint(file);
        try
        {
            if (file.EndsWith(".json", StringComparison.OrdinalIgnoreCase))
            {
                checkpoint.AddShards(file);
            }
            else
            {
                checkpoint.AddFile(file);
            }
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>What the file says about a tensor.</summary>
    public TensorEntry Entry(string name) => _tensors.TryGetValue(name, out var shard)
        ? shard.Tensors[name]
        : throw new CheckpointException($"{Path}: has no tensor '{TensorEntry.Show(name)}'.");

    /// <summary>Copies a tensor out of the checkpoint.</summary>
    public Tensor Read(string name)
    {
        Entry(name);
        return _tensors[name].Read(name);
    }

    /// <summary>Tells checkpoints apart: a hash of every tensor's name, type, sizes and first row.</summary>
    internal string Fingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in Names.Order(StringComparer.Ordinal))
        {
            var entry = Entry(name);
            hash.AppendData(Encoding.UTF8.GetBytes($"{name} {entry.DType} {TensorEntry.Show(entry.Shape)}\n"));
            if (entry.Count > 0 && SafetensorsDType.TorchType(entry.DType) is not null)
            {
                using var row = entry.Shape.Length > 1 ? _tensors[name].ReadRows(name, 0, 1) : Read(name);
                hash.AppendData(row.bytes);
            }
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }

    /// <inheritdoc/>
    public void Dispose() => _shards.ForEach(shard => shard.Dispose());

    private static string Find(string folder)
    {
        foreach (string name in (ReadOnlySpan<string>)[FileName, IndexName])
        {
            string file = System.IO.Path.Combine(folder, name);
            if (File.Exists(file))
            {
                return file;
            }
        }
        throw new CheckpointException($"{folder}: holds neither {FileName} nor {IndexName}.");
    }

    private void AddFile(string path)
    {
        var file = SafetensorsFile.Open(path);
        _shards.Add(file);
        foreach (string name in file.Tensors.Keys)
        {
            _tensors.Add(name, file);
        }
    }

    private void AddShards(string index)
    {
        var open = new Dictionary<string, SafetensorsFile>();
        foreach (var (name, shard) in WeightMap(index))
        {
            // A shard lies beside its index; anything else would let an index read arbitrary files.
            if (shard.Length == 0 || shard != System.IO.Path.GetFileName(shard) || shard.Contains('\\'))
            {
                throw new CheckpointException($"{index}: the shard '{TensorEntry.Show(shard)}' of tensor '{TensorEntry.Show(name)}' must be the name of a file in the same folder.");
            }
            if (!open.TryGetValue(shard, out var file))
            {
                file = SafetensorsFile.Open(System.IO.Path.Combine(System.IO.Path.GetDirectoryName(index) ?? "", shard));
                _shards.Add(file);
                open.Add(shard, file);
            }
            if (!file.Tensors.ContainsKey(name))
            {
                throw new CheckpointException($"{index}: tensor '{TensorEntry.Show(name)}' should be in {shard}, but is not.");
            }
            _tensors.Add(name, file);
        }
    }

    private static Dictionary<string, string> WeightMap(string index)
    {
        try
        {
            using var json = JsonDocument.Parse(Files.ReadAllText(index), new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (json.RootElement.ValueKind != JsonValueKind.Object
                || !json.RootElement.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object
                || map.EnumerateObject().Any(entry => entry.Value.ValueKind != JsonValueKind.String))
            {
                throw new CheckpointException($"{index}: must hold weight_map, an object from tensor names to file names.");
            }
            return map.EnumerateObject().ToDictionary(entry => entry.Name, entry => entry.Value.GetString()!);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{index}: not valid JSON ({e.Message})", e);
        }
    }
}
