using System.Text.RegularExpressions;
using SailVit.Model.Encoders;
using SailVit.Model.Multimodal;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>Translates the tensor names of published checkpoints into those of the encoder's own state_dict.</summary>
/// <remarks>
/// The encoder uses AIMv2's names (preprocessor.…, trunk.blocks.i.…) or InternViT's (embeddings.…, encoder.layers.i.…).
/// Transformers' own AIMv2 class keeps query, key and value apart and names the MLP gate, up and down. A multimodal
/// checkpoint has its encoder under <c>vision_model.</c>, and its other tensors are left out.
/// </remarks>
public static partial class KeyMap
{
    private const string Vision = "vision_model.";
    private const string PositionName = "preprocessor.pos_embed";

    private static readonly string[] Prefixes = [Vision, "model.vision_model."];

    // Names in transformers' class → AIMv2's names, outside the blocks.
    private static readonly Dictionary<string, string> Native = new()
    {
        ["embeddings.patch_embed.weight"] = "preprocessor.patchifier.proj.weight",
        ["embeddings.patch_embed.bias"] = "preprocessor.patchifier.proj.bias",
        ["embeddings.rms_norm.weight"] = "preprocessor.patchifier.norm.weight",
        ["embeddings.position_embedding.weight"] = PositionName,
        ["rms_norm.weight"] = "trunk.post_trunk_norm.weight",
    };

    // The same inside a block, without the final .weight or .bias; parts are stacked in this order.
    private static readonly Dictionary<string, (string Name, int Part)> NativeBlockPart = new()
    {
        ["rms_norm1"] = ("norm_1", 0),
        ["rms_norm2"] = ("norm_2", 0),
        ["attention.q_proj"] = ("attn.qkv", 0),
        ["attention.k_proj"] = ("attn.qkv", 1),
        ["attention.v_proj"] = ("attn.qkv", 2),
        ["attention.out_proj"] = ("attn.proj", 0),
        ["ffn.gate_proj"] = ("mlp.fc1", 0),
        ["ffn.down_proj"] = ("mlp.fc2", 0),
        ["ffn.up_proj"] = ("mlp.fc3", 0),
        ["ffn.fc1"] = ("mlp.fc1", 0),
        ["ffn.fc2"] = ("mlp.fc2", 0),
        ["ffn.fc3"] = ("mlp.fc3", 0),
    };

    /// <summary>The encoder's parameters that a set of names provides, each with the names that make it up, in order.</summary>
    /// <param name="names">Names in a checkpoint.</param>
    /// <param name="family">The encoder's family.</param>
    public static IReadOnlyDictionary<string, string[]> Resolve(IReadOnlyCollection<string> names, EncoderFamily family)
    {
        string prefix = Prefixes.FirstOrDefault(p => names.Any(name => name.StartsWith(p, StringComparison.Ordinal))) ?? "";
        return Group(names.Where(name => name.StartsWith(prefix, StringComparison.Ordinal) && !IsOutside(name.AsSpan(prefix.Length)))
            .Select(name => (name, InEncoder(name[prefix.Length..], family))));
    }

    /// <summary>The same for a multimodal model: the encoder's parameters under <c>vision_model.</c>, all others by their own names.</summary>
    /// <param name="names">Names in a checkpoint.</param>
    /// <param name="family">The encoder's family.</param>
    /// <param name="tiedHead">Whether the language model's head is its embedding, so that one stored beside it is left out.</param>
    public static IReadOnlyDictionary<string, string[]> ResolveMultimodal(IReadOnlyCollection<string> names, EncoderFamily family, bool tiedHead) =>
        Group(names.Select(name => (Source: name, Own: LoraNames.Own(name)))
            .Where(name => !(name.Own.StartsWith(Vision, StringComparison.Ordinal) && IsOutside(name.Own.AsSpan(Vision.Length)))
                && !name.Own.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal)
                && !(tiedHead && name.Own == "language_model.lm_head.weight"))
            .Select(name =>
            {
                if (!name.Own.StartsWith(Vision, StringComparison.Ordinal))
                {
                    return (name.Source, (name.Own, 0));
                }
                var (target, part) = InEncoder(name.Own[Vision.Length..], family);
                return (name.Source, (Vision + target, part));
            }));

    private static (string Name, int Part) InEncoder(string name, EncoderFamily family) => family == EncoderFamily.Aimv2 ? FromNative(name) : (name, 0);

    private static Dictionary<string, string[]> Group(IEnumerable<(string Source, (string Name, int Part) Target)> pairs) =>
        pairs.GroupBy(pair => pair.Target.Name)
            .ToDictionary(group => group.Key, group => group.OrderBy(pair => pair.Target.Part).Select(pair => pair.Source).ToArray());

    /// <summary>Makes one parameter from its parts: query, key and value stacked, positions with a batch dimension.</summary>
    /// <param name="name">The encoder's name of the parameter.</param>
    /// <param name="parts">The tensors from the checkpoint.</param>
    public static Tensor Assemble(string name, IReadOnlyList<Tensor> parts)
    {
        var tensor = parts.Count == 1 ? parts[0] : torch.cat([.. parts], 0);
        // [N, C] → [1, N, C]
        return IsPosition(name) && tensor.dim() == 2 ? tensor.unsqueeze(0) : tensor;
    }

    /// <summary>The shape that <see cref="Assemble"/> gives, or null where the parts do not fit together.</summary>
    internal static long[]? AssembledShape(string name, IReadOnlyList<long[]> parts)
    {
        long[] shape = [.. parts[0]];
        if (parts.Count > 1)
        {
            if (parts.Any(part => part.Length != shape.Length || part.Length == 0 || !part.AsSpan(1).SequenceEqual(shape.AsSpan(1))))
            {
                return null;
            }
            shape[0] = parts.Sum(part => part[0]);
        }
        return IsPosition(name) && shape.Length == 2 ? [1, .. shape] : shape;
    }

    private static bool IsPosition(string name) => name is PositionName or (Vision + PositionName);

    /// <summary>How many tensors of the checkpoint a parameter is made of, given the first of their names.</summary>
    internal static int PartCount(string source) => SplitQkv().IsMatch(source) ? 3 : 1;

    // Transformers' AIMv2 may carry a pooling head, and old versions saved an index buffer; neither is the encoder's.
    private static bool IsOutside(ReadOnlySpan<char> name) => name.StartsWith("head.") || name.SequenceEqual("embeddings.position_ids");

    private static (string Name, int Part) FromNative(string name)
    {
        if (Native.TryGetValue(name, out string? whole))
        {
            return (whole, 0);
        }
        var match = NativeBlock().Match(name);
        if (!match.Success)
        {
            return (name, 0);
        }
        string part = match.Groups["part"].Value, kind = match.Groups["kind"].Value;
        return NativeBlockPart.TryGetValue(part, out var inBlock)
            ? ($"trunk.blocks.{match.Groups["block"].Value}.{inBlock.Name}.{kind}", inBlock.Part)
            : (name, 0);
    }

    [GeneratedRegex(@"^encoder\.layers\.(?<block>\d+)\.(?<part>.+)\.(?<kind>weight|bias)$", RegexOptions.CultureInvariant)]
    private static partial Regex NativeBlock();

    [GeneratedRegex(@"\.attention\.[qkv]_proj\.(weight|bias)$", RegexOptions.CultureInvariant)]
    private static partial Regex SplitQkv();
}
