namespace SailVit.Model.Encoders;

/// <summary>Architectures of published encoders by name.</summary>
public static class EncoderPresets
{
    private static readonly SortedDictionary<string, EncoderConfig> Known = new(StringComparer.OrdinalIgnoreCase)
    {
        ["sailvit-large"] = Aimv2(1024, 2816, 24, 8, 448),
        ["sailvit-huge"] = Aimv2(1536, 4096, 24, 12, 448),
        ["aimv2-base"] = Aimv2(768, 2048, 12, 6, 224),
        ["aimv2-large"] = Aimv2(1024, 2816, 24, 8, 224),
        ["aimv2-huge"] = Aimv2(1536, 4096, 24, 12, 224),
        ["aimv2-1b"] = Aimv2(2048, 5632, 24, 16, 224),
        ["aimv2-3b"] = Aimv2(3072, 8192, 24, 24, 224),
        ["internvit-300m"] = InternVit(1024, 4096, 24, 16, NormKind.LayerNorm, qkvBias: true, qkNorm: false),
        ["internvit-6b"] = InternVit(3200, 12800, 45, 25, NormKind.RmsNorm, qkvBias: false, qkNorm: true),
    };

    /// <summary>All names, sorted.</summary>
    public static IReadOnlyCollection<string> Names => Known.Keys;

    /// <summary>The architecture with this name.</summary>
    /// <exception cref="ArgumentException">There is none; the message lists all.</exception>
    public static EncoderConfig Get(string name) => Known.TryGetValue(name, out var config)
        ? config
        : throw new ArgumentException($"Unknown model '{name}'; known are {string.Join(", ", Known.Keys)}.");

    private static EncoderConfig Aimv2(int hidden, int intermediate, int layers, int heads, int image) => new()
    {
        Family = EncoderFamily.Aimv2,
        HiddenSize = hidden,
        IntermediateSize = intermediate,
        Layers = layers,
        Heads = heads,
        ImageHeight = image,
        ImageWidth = image,
        Eps = 1e-5,
        Norm = NormKind.RmsNorm,
        Mlp = MlpKind.SwiGlu,
        PatchNorm = true,
        FinalNorm = true,
    };

    private static EncoderConfig InternVit(int hidden, int intermediate, int layers, int heads, NormKind norm, bool qkvBias, bool qkNorm) => new()
    {
        Family = EncoderFamily.InternVit,
        HiddenSize = hidden,
        IntermediateSize = intermediate,
        Layers = layers,
        Heads = heads,
        ImageHeight = 448,
        ImageWidth = 448,
        Eps = 1e-6,
        Norm = norm,
        Mlp = MlpKind.Gelu,
        QkvBias = qkvBias,
        UseBias = true,
        LayerScale = true,
        QkNorm = qkNorm,
        ClassToken = true,
    };
}
