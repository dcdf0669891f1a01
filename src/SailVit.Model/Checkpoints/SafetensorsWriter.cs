using System.Buffers.Binary;
using System.Text.Json;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>Writes a safetensors file, whole or not at all.</summary>
public sealed class SafetensorsWriter : ITensorWriter
{
    // Data begins on a cache line, so that a map of the file is aligned for vector loads of its first tensor.
    private const int Alignment = 64;

    private readonly Dictionary<string, (ScalarType DType, long[] Shape, long Position)> _tensors = [];
    private readonly AtomicFile _file;

    /// <summary>Writes the header and reserves the space.</summary>
    /// <param name="path">The file; an existing one is replaced on <see cref="Commit"/>.</param>
    /// <param name="tensors">Name, dtype and shape of every tensor.</param>
    /// <param name="metadata">Strings to keep with them.</param>
    /// <param name="resume">Go on with what an earlier writer of the same tensors kept.</param>
    /// <exception cref="CheckpointException">The file cannot be written, or a dtype has no name in the format.</exception>
    public SafetensorsWriter(string path, IEnumerable<(string Name, ScalarType DType, long[] Shape)> tensors, IReadOnlyDictionary<string, string>? metadata = null, bool resume = false)
    {
        // Wide types first: every tensor then lies on a multiple of its own element size.
        var ordered = tensors.Select(t => new TensorEntry(t.Name, DTypeName(t.Name, t.DType, path), t.Shape, 0, 0))
            .OrderByDescending(t => SafetensorsDType.Size(t.DType)).ThenBy(t => t.Name, StringComparer.Ordinal).ToList();
        long end = 0;
        for (int i = 0; i < ordered.Count; i++)
        {
            long length = ordered[i].Shape.Aggregate((long)SafetensorsDType.Size(ordered[i].DType), (product, size) => checked(product * size));
            ordered[i] = ordered[i] with { Offset = end, Length = length };
            end += length;
        }
        byte[] header = Header(ordered, metadata);
        foreach (var entry in ordered)
        {
            _tensors.Add(entry.Name, (SafetensorsDType.TorchType(entry.DType)!.Value, entry.Shape, header.Length + entry.Offset));
        }
        _file = new AtomicFile(path, header.Length + end, resume);
        _file.Write(0, header);
    }

    /// <summary>Writes tensors to a file; an existing one is replaced only when the new one is complete.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Tensors by name, on any device, of any strides.</param>
    /// <param name="metadata">Strings to keep with them.</param>
    /// <exception cref="CheckpointException">The file could not be written, or a dtype has no name in the format.</exception>
    public static void Write(string path, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        using var writer = new SafetensorsWriter(path, tensors.Select(t => (t.Key, t.Value.dtype, t.Value.shape)), metadata);
        foreach (var (name, tensor) in tensors)
        {
            writer.Write(name, tensor);
        }
        writer.Commit();
    }

    /// <summary>The file, whose completion and renaming are two steps where several belong together.</summary>
    internal AtomicFile File => _file;

    /// <summary>Writes a whole tensor.</summary>
    internal void Write(string name, Tensor tensor) => TensorBytes.Write(tensor, _file, _tensors[name].Position);

    /// <inheritdoc/>
    public void WriteRows(string name, long firstRow, Tensor rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var (dtype, shape, position) = _tensors[name];
        TensorBytes.Write(rows, _file, position + TensorBytes.RowOffset(name, shape, dtype, firstRow, rows));
    }

    /// <inheritdoc/>
    public void Flush() => _file.Flush();

    /// <inheritdoc/>
    public void Keep() => _file.Keep();

    /// <inheritdoc/>
    public void Commit() => _file.Commit();

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static string DTypeName(string name, ScalarType dtype, string path) => SafetensorsDType.Name(dtype)
        ?? throw new CheckpointException($"{path}: tensor '{TensorEntry.Show(name)}' has dtype {dtype}, which the safetensors format does not have.");

    private static byte[] Header(List<TensorEntry> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        using var buffer = new MemoryStream();
        buffer.Write(stackalloc byte[SafetensorsHeader.PrefixBytes]);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            WriteMetadata(json, metadata);
            foreach (var tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.DType);
                WriteArray(json, "shape", tensor.Shape);
                WriteArray(json, "data_offsets", [tensor.Offset, tensor.Offset + tensor.Length]);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (buffer.Length % Alignment != 0)
        {
            buffer.WriteByte((byte)' ');
        }
        byte[] header = buffer.ToArray();
        BinaryPrimitives.WriteInt64LittleEndian(header, header.Length - SafetensorsHeader.PrefixBytes);
        return header;
    }

    private static void WriteMetadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string>? metadata)
    {
        if (metadata is not { Count: > 0 })
        {
            return;
        }
        json.WriteStartObject(SafetensorsHeader.MetadataKey);
        foreach (var (key, value) in metadata)
        {
            json.WriteString(key, value);
        }
        json.WriteEndObject();
    }

    private static void WriteArray(Utf8JsonWriter json, string name, long[] numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }
        json.WriteEndArray();
    }
}
