using System.Buffers.Binary;
using System.Text.Json;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>Writes safetensors files, whole or not at all.</summary>
public static class SafetensorsWriter
{
    // Data begins on a cache line, so that a map of the file is aligned for vector loads of its first tensor.
    private const int Alignment = 64;
    private const long ChunkBytes = 1L << 30;

    /// <summary>Writes tensors to a file; an existing one is replaced only when the new one is complete.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Tensors by name, on any device, of any strides.</param>
    /// <param name="metadata">Strings to keep with them.</param>
    /// <exception cref="CheckpointException">The file could not be written, or a dtype has no name in the format.</exception>
    public static void Write(string path, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        // Wide types first: every tensor then lies on a multiple of its own element size.
        var ordered = tensors.Select(pair => (pair.Key, pair.Value, DType: DType(pair.Key, pair.Value, path)))
            .OrderByDescending(t => SafetensorsDType.Size(t.DType)).ThenBy(t => t.Key, StringComparer.Ordinal).ToList();
        byte[] header = Header(ordered, metadata);
        Files.WriteAtomically(path, stream =>
        {
            stream.Write(header);
            foreach (var (_, tensor, _) in ordered)
            {
                Write(stream, tensor);
            }
        });
    }

    private static string DType(string name, Tensor tensor, string path) => SafetensorsDType.Name(tensor.dtype)
        ?? throw new CheckpointException($"{path}: tensor '{TensorEntry.Show(name)}' has dtype {tensor.dtype}, which the safetensors format does not have.");

    private static byte[] Header(List<(string Name, Tensor Tensor, string DType)> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        using var buffer = new MemoryStream();
        buffer.Write(stackalloc byte[SafetensorsHeader.PrefixBytes]);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach (var (key, value) in metadata)
                {
                    json.WriteString(key, value);
                }
                json.WriteEndObject();
            }
            long offset = 0;
            foreach (var (name, tensor, dtype) in tensors)
            {
                long end = offset + (tensor.numel() * SafetensorsDType.Size(dtype));
                json.WriteStartObject(name);
                json.WriteString("dtype", dtype);
                WriteArray(json, "shape", tensor.shape);
                WriteArray(json, "data_offsets", [offset, end]);
                json.WriteEndObject();
                offset = end;
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

    private static void WriteArray(Utf8JsonWriter json, string name, long[] numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }
        json.WriteEndArray();
    }

    private static void Write(FileStream stream, Tensor tensor)
    {
        using var scope = torch.NewDisposeScope();
        using var noGrad = torch.no_grad();
        var flat = tensor.detach().cpu().contiguous().view(-1);
        long perChunk = ChunkBytes / flat.element_size();
        for (long done = 0; done < flat.numel(); done += perChunk)
        {
            stream.Write(flat.narrow(0, done, Math.Min(perChunk, flat.numel() - done)).bytes);
        }
    }
}
