using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;

namespace SailVit.Model.Checkpoints;

/// <summary>Parses and validates the header of a safetensors file; nothing in it is believed before it is checked.</summary>
/// <remarks>Layout: 8 bytes length n, little-endian; n bytes of JSON; data. Offsets count from the start of the data.</remarks>
internal static class SafetensorsHeader
{
    public const int PrefixBytes = 8;

    // The reference implementation's own limit.
    public const long MaxBytes = 100_000_000;

    public const string MetadataKey = "__metadata__";
    private const int MaxRank = 64;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false, MaxDepth = 8 };

    /// <summary>Length of the JSON text, checked against the file.</summary>
    public static int Length(ReadOnlySpan<byte> prefix, long fileLength, string file)
    {
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > (ulong)(fileLength - PrefixBytes))
        {
            throw new CheckpointException($"{file}: the header claims {length:N0} bytes, but the file has only {fileLength - PrefixBytes:N0} after the length; it is truncated or no safetensors file.");
        }
        return length <= MaxBytes ? (int)length : throw new CheckpointException($"{file}: the header claims {length:N0} bytes; at most {MaxBytes:N0} are allowed.");
    }

    /// <summary>Reads the JSON text.</summary>
    /// <param name="json">The text.</param>
    /// <param name="dataStart">Position of the data in the file.</param>
    /// <param name="fileLength">Length of the file.</param>
    /// <param name="file">Named in messages.</param>
    public static (Dictionary<string, TensorEntry> Tensors, Dictionary<string, string> Metadata) Parse(ReadOnlyMemory<byte> json, long dataStart, long fileLength, string file)
    {
        if (!Utf8.IsValid(json.Span))
        {
            throw new CheckpointException($"{file}: the header is not UTF-8 text; this is no safetensors file.");
        }
        try
        {
            using var document = JsonDocument.Parse(json, Strict);
            return Parse(document.RootElement, dataStart, fileLength, file);
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{file}: the header is not valid JSON ({e.Message})", e);
        }
        catch (InvalidOperationException e)
        {
            // An escape in a string that is half a surrogate pair.
            throw new CheckpointException($"{file}: the header holds a string that is not valid Unicode.", e);
        }
    }

    private static (Dictionary<string, TensorEntry>, Dictionary<string, string>) Parse(JsonElement root, long dataStart, long fileLength, string file)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw new CheckpointException($"{file}: the header must be a JSON object; it is {root.ValueKind}.");
        }
        var tensors = new Dictionary<string, TensorEntry>();
        var metadata = new Dictionary<string, string>();
        foreach (var property in root.EnumerateObject())
        {
            if (property.Name == MetadataKey)
            {
                metadata = Metadata(property.Value, file);
            }
            else
            {
                tensors.Add(property.Name, Entry(property.Name, property.Value, dataStart, fileLength - dataStart, file));
            }
        }
        CheckCover(tensors.Values, dataStart, fileLength, file);
        return (tensors, metadata);
    }

    private static Dictionary<string, string> Metadata(JsonElement value, string file)
    {
        if (value.ValueKind != JsonValueKind.Object || value.EnumerateObject().Any(p => p.Value.ValueKind != JsonValueKind.String))
        {
            throw new CheckpointException($"{file}: {MetadataKey} must be an object of strings.");
        }
        return value.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!);
    }

    private static TensorEntry Entry(string name, JsonElement value, long dataStart, long dataLength, string file)
    {
        CheckpointException Error(string problem) => new($"{file}: tensor '{TensorEntry.Show(name)}': {problem}.");

        if (value.ValueKind != JsonValueKind.Object
            || !value.TryGetProperty("dtype", out var dtypeValue) || dtypeValue.ValueKind != JsonValueKind.String
            || !value.TryGetProperty("shape", out var shapeValue) || !TryIntegers(shapeValue, out long[] shape)
            || !value.TryGetProperty("data_offsets", out var offsetsValue) || !TryIntegers(offsetsValue, out long[] offsets) || offsets.Length != 2)
        {
            throw Error("must have dtype (a string), shape (whole numbers from 0) and data_offsets (two whole numbers from 0)");
        }
        string dtype = dtypeValue.GetString()!;
        if (!SafetensorsDType.Exists(dtype))
        {
            throw Error($"dtype '{TensorEntry.Show(dtype)}' is unknown; known are {SafetensorsDType.All}");
        }
        if (shape.Length > MaxRank || !TryBytes(shape, SafetensorsDType.Size(dtype), out long bytes))
        {
            throw Error($"its shape is too large ({shape.Length} dimensions; at most {MaxRank}, and the size must fit 64 bits)");
        }
        if (offsets[0] > offsets[1] || offsets[1] > dataLength)
        {
            throw Error($"data_offsets {TensorEntry.Show(offsets)} must be in order and within the {dataLength:N0} bytes of data");
        }
        if (offsets[1] - offsets[0] != bytes)
        {
            throw Error($"shape {TensorEntry.Show(shape)} of {dtype} needs {bytes:N0} bytes, but data_offsets hold {offsets[1] - offsets[0]:N0}");
        }
        return new TensorEntry(name, dtype, shape, dataStart + offsets[0], bytes);
    }

    private static bool TryIntegers(JsonElement value, out long[] numbers)
    {
        numbers = [];
        if (value.ValueKind != JsonValueKind.Array)
        {
            return false;
        }
        var result = new long[value.GetArrayLength()];
        int i = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out result[i]) || result[i++] < 0)
            {
                return false;
            }
        }
        numbers = result;
        return true;
    }

    private static bool TryBytes(long[] shape, long elementSize, out long bytes)
    {
        Int128 product = elementSize;
        foreach (long size in shape)
        {
            product *= size;
            if (product > long.MaxValue)
            {
                bytes = 0;
                return false;
            }
        }
        bytes = (long)product;
        return true;
    }

    // Every byte belongs to exactly one tensor: an overlap or a hole means that the header is not this data's.
    private static void CheckCover(IEnumerable<TensorEntry> entries, long dataStart, long fileLength, string file)
    {
        long position = dataStart;
        foreach (var entry in entries.OrderBy(e => e.Offset).ThenBy(e => e.Length))
        {
            if (entry.Offset != position)
            {
                throw new CheckpointException($"{file}: tensor '{entry.Shown}' begins at data byte {entry.Offset - dataStart:N0}, but the tensors before it end at {position - dataStart:N0}; data must neither overlap nor leave holes.");
            }
            position += entry.Length;
        }
        if (position != fileLength)
        {
            throw new CheckpointException($"{file}: the tensors cover {position - dataStart:N0} of {fileLength - dataStart:N0} bytes of data; the rest belongs to none.");
        }
    }
}
