using TorchSharp;

namespace SailVit.Model.Checkpoints;

/// <summary>Where a tensor lies in a safetensors file.</summary>
/// <param name="Name">Its key.</param>
/// <param name="DType">Element type by the format's name, for example <c>BF16</c>.</param>
/// <param name="Shape">Sizes.</param>
/// <param name="Offset">First byte, counted from the start of the file.</param>
/// <param name="Length">Number of bytes.</param>
public sealed record TensorEntry(string Name, string DType, long[] Shape, long Offset, long Length)
{
    /// <summary>Number of elements.</summary>
    public long Count => Length / SafetensorsDType.Size(DType);

    /// <summary>The name as it may stand in a one-line message.</summary>
    internal string Shown => Show(Name);

    /// <summary>Text from a file as it may stand in a one-line message.</summary>
    internal static string Show(string name, int most = 120)
    {
        string line = string.Concat(name.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));
        return line.Length <= most ? line : string.Concat(line.AsSpan(0, most), "…");
    }

    internal static string Show(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}

/// <summary>The element types of the safetensors format.</summary>
internal static class SafetensorsDType
{
    // Types without a counterpart in TorchSharp can be listed but not read.
    private static readonly Dictionary<string, (int Size, torch.ScalarType? Type)> Known = new()
    {
        ["BOOL"] = (1, torch.ScalarType.Bool),
        ["U8"] = (1, torch.ScalarType.Byte),
        ["I8"] = (1, torch.ScalarType.Int8),
        ["F8_E4M3"] = (1, null),
        ["F8_E5M2"] = (1, null),
        ["F8_E8M0"] = (1, null),
        ["I16"] = (2, torch.ScalarType.Int16),
        ["U16"] = (2, null),
        ["F16"] = (2, torch.ScalarType.Float16),
        ["BF16"] = (2, torch.ScalarType.BFloat16),
        ["I32"] = (4, torch.ScalarType.Int32),
        ["U32"] = (4, null),
        ["F32"] = (4, torch.ScalarType.Float32),
        ["I64"] = (8, torch.ScalarType.Int64),
        ["U64"] = (8, null),
        ["F64"] = (8, torch.ScalarType.Float64),
        ["C64"] = (8, torch.ScalarType.ComplexFloat32),
    };

    public static string All => string.Join(", ", Known.Keys);

    public static bool Exists(string name) => Known.ContainsKey(name);

    public static int Size(string name) => Known[name].Size;

    public static torch.ScalarType? TorchType(string name) => Known[name].Type;

    public static string? Name(torch.ScalarType type) => Known.FirstOrDefault(pair => pair.Value.Type == type).Key;

    public static bool IsFloat(string name) => name is "F32" or "F16" or "BF16" or "F64";
}
