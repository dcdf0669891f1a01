using System.Globalization;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;

namespace SailVit.Cli.Running;

/// <summary>The facts about an architecture and the tensors beside it, whichever of the two there are.</summary>
internal sealed class ModelDescription : IDisposable
{
    private readonly string _source;
    private readonly EncoderConfig? _config;

    private ModelDescription(string source, EncoderConfig? config, Checkpoint? checkpoint) => (_source, _config, Checkpoint) = (source, config, checkpoint);

    public Checkpoint? Checkpoint { get; }

    /// <summary>Opens a folder, a file, or a named architecture.</summary>
    public static ModelDescription Of(string what)
    {
        if (Directory.Exists(what))
        {
            bool tensors = File.Exists(Path.Combine(what, Checkpoint.FileName)) || File.Exists(Path.Combine(what, Checkpoint.IndexName));
            return new ModelDescription(what, ConfigFile.Read(what), tensors ? Checkpoint.Open(what) : null);
        }
        if (!File.Exists(what))
        {
            return EncoderPresets.Names.Contains(what, StringComparer.OrdinalIgnoreCase)
                ? new ModelDescription(what, EncoderPresets.Get(what), null)
                : throw new ArgumentException($"{what}: there is no such file or folder, and no model of that name ({string.Join(", ", EncoderPresets.Names)}).");
        }
        if (what.EndsWith(".json", StringComparison.OrdinalIgnoreCase) && !what.EndsWith(".index.json", StringComparison.OrdinalIgnoreCase))
        {
            return new ModelDescription(what, ConfigFile.Read(what), null);
        }
        return new ModelDescription(what, null, Checkpoint.Open(what));
    }

    public void Dispose() => Checkpoint?.Dispose();

    /// <summary>Lines to show.</summary>
    public IEnumerable<(string Name, string Value)> Facts()
    {
        yield return ("source", _source);
        if (_config is { } c)
        {
            yield return ("family", $"{c.Family}, {c.Norm}, {c.Mlp}{(c.LayerScale ? ", LayerScale" : "")}{(c.QkNorm ? ", QK-norm" : "")}{(c.ClassToken ? ", class token" : "")}, {(c.Position == PositionKind.Learned ? "learned" : "sin-cos")} positions");
            yield return ("size", $"{c.Layers} layers × {c.HiddenSize} channels, {c.Heads} heads × {c.HeadDim}, MLP {c.IntermediateSize}");
            yield return ("image", $"{c.ImageHeight} × {c.ImageWidth} px, patches of {c.PatchSize}, {c.Tokens} tokens");
            // Of a multimodal checkpoint, the config's vision part is described; the tensors below are all of them.
            bool isPart = Checkpoint is { } all && all.Names.Sum(name => all.Entry(name).Count) > c.ParameterCount;
            yield return ("parameters", $"{c.ParameterCount:N0}{(isPart ? ", the image encoder's alone" : "")}");
            yield return ("forward FLOPs per image", Flops(c.FlopsPerImage));
            yield return ("weights", $"{Bytes(4 * c.ParameterCount)} in float32, {Bytes(2 * c.ParameterCount)} in bfloat16");
            yield return ("training state", $"{Bytes(16 * c.ParameterCount)} (float32 weights, gradients and AdamW's two moments; activations not counted)");
        }
        if (Checkpoint is { } file)
        {
            var entries = file.Names.Select(file.Entry).ToList();
            yield return ("tensors", $"{entries.Count}, {entries.Sum(e => e.Count):N0} elements, {Bytes(file.Bytes)}: {string.Join(", ", entries.GroupBy(e => e.DType).Select(g => $"{g.Count()} × {g.Key}"))}");
        }
    }

    /// <summary>The same as numbers, for scripts.</summary>
    public Dictionary<string, object?> Values() => new()
    {
        ["source"] = _source,
        ["config"] = _config,
        ["parameters"] = _config?.ParameterCount,
        ["flops_per_image"] = _config?.FlopsPerImage,
        ["tensors"] = Checkpoint?.Names.Select(Checkpoint.Entry).Select(e => new { name = e.Name, dtype = e.DType, shape = e.Shape }),
    };

    private static string Flops(long flops) => flops >= 1e9
        ? string.Create(CultureInfo.InvariantCulture, $"{flops / 1e9:N1} G")
        : string.Create(CultureInfo.InvariantCulture, $"{flops / 1e6:N1} M");

    private static string Bytes(long bytes) => bytes switch
    {
        >= 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):N2} GiB"),
        >= 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 20):N1} MiB"),
        >= 1L << 10 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 10):N1} KiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes:N0} bytes"),
    };
}
