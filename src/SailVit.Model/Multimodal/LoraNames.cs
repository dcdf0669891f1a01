namespace SailVit.Model.Multimodal;

/// <summary>Names of tensors in a checkpoint that was saved with its adapters, as the peft library wraps a part:
/// <c>language_model.base_model.model.….q_proj.base_layer.weight</c>, <c>….q_proj.lora_A.default.weight</c>.</summary>
internal static class LoraNames
{
    private const string Wrapper = "base_model.model.", BaseLayer = ".base_layer.", Default = ".default.weight";

    private static readonly string[] Parts = ["vision_model.", "language_model."];

    /// <summary>The model's own name of a tensor.</summary>
    public static string Own(string published)
    {
        foreach (string part in Parts)
        {
            if (published.StartsWith(part + Wrapper, StringComparison.Ordinal))
            {
                string own = part + published[(part.Length + Wrapper.Length)..].Replace(BaseLayer, ".", StringComparison.Ordinal);
                return own.EndsWith(".lora_A" + Default, StringComparison.Ordinal) || own.EndsWith(".lora_B" + Default, StringComparison.Ordinal) ? own[..^Default.Length] : own;
            }
        }
        return published;
    }

    /// <summary>The name under which a tensor is saved.</summary>
    /// <param name="own">The model's name.</param>
    /// <param name="config">Which parts have adapters.</param>
    /// <param name="adapted">Names of the layers that have one.</param>
    public static string Published(string own, MultimodalConfig config, IReadOnlySet<string> adapted)
    {
        int part = own.StartsWith(Parts[0], StringComparison.Ordinal) && config.UseBackboneLora > 0 ? 0
            : own.StartsWith(Parts[1], StringComparison.Ordinal) && config.UseLlmLora > 0 ? 1 : -1;
        if (part < 0)
        {
            return own;
        }
        int dot = own.LastIndexOf('.');
        string layer = own[..dot], leaf = own[(dot + 1)..];
        string wrapped = Parts[part] + Wrapper + layer[Parts[part].Length..];
        return !adapted.Contains(layer) ? $"{wrapped}.{leaf}" : leaf.StartsWith("lora_", StringComparison.Ordinal) ? $"{wrapped}.{leaf}{Default}" : $"{wrapped}{BaseLayer}{leaf}";
    }
}
