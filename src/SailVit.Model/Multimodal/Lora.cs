using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;
using Linear = SailVit.Kernels.Modules.Linear;

namespace SailVit.Model.Multimodal;

/// <summary>Puts low-rank adapters on an encoder or a language model; saves, loads and merges them.</summary>
/// <remarks>Files are those of the peft library: <c>adapter_config.json</c> and <c>adapter_model.safetensors</c> with names
/// <c>base_model.model.….lora_A.weight</c>.</remarks>
public static class Lora
{
    private const string ConfigName = "adapter_config.json", WeightsName = "adapter_model.safetensors", Prefix = "base_model.model.";

    /// <summary>Adds adapters to the layers that the config names, and freezes everything else of the module.</summary>
    /// <exception cref="ArgumentException">A target names no layer.</exception>
    public static void Apply(nn.Module module, LoraConfig config)
    {
        ArgumentNullException.ThrowIfNull(module);
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfLessThan(config.Rank, 1, nameof(config));
        var layers = config.Targets.SelectMany(target => Layers(module, target)).Distinct().ToList();
        foreach (var parameter in module.parameters())
        {
            parameter.requires_grad_(false);
        }
        layers.ForEach(layer => layer.AddAdapter(config.Rank, config.Alpha));
    }

    /// <summary>Adds each adapter to its weight and removes it. What was frozen stays so.</summary>
    public static void Merge(nn.Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        foreach (var (_, layer) in Adapted(module))
        {
            layer.MergeAdapter();
        }
    }

    /// <summary>Writes the adapters alone.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    /// <exception cref="CheckpointException">The files could not be written.</exception>
    public static void Save(nn.Module module, string folder, LoraConfig config)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(config);
        var layers = Adapted(module);
        if (layers.Count == 0)
        {
            throw new ArgumentException($"the module has no adapters; call {nameof(Apply)} first.", nameof(module));
        }
        var tensors = layers.SelectMany(l => new[] { ($"{Prefix}{l.Name}.lora_A.weight", (Tensor)l.Layer.lora_A!), ($"{Prefix}{l.Name}.lora_B.weight", l.Layer.lora_B!) }).ToDictionary();
        Directory.CreateDirectory(folder);
        SafetensorsWriter.Write(Path.Combine(folder, WeightsName), tensors);
        var json = new JsonObject
        {
            ["peft_type"] = "LORA",
            ["r"] = config.Rank,
            ["lora_alpha"] = config.Alpha,
            ["lora_dropout"] = 0.0,
            ["bias"] = "none",
            ["target_modules"] = new JsonArray([.. config.Targets.Select(t => (JsonNode)t)]),
        };
        Files.WriteAtomically(Path.Combine(folder, ConfigName), stream => { using var writer = new StreamWriter(stream, leaveOpen: true); writer.Write(json.ToJsonString(ConfigFile.Indented)); });
    }

    /// <summary>Adds the adapters of a folder to a module, and freezes everything else of it.</summary>
    /// <returns>What they are.</returns>
    /// <exception cref="CheckpointException">Files are missing or malformed, or tensors do not fit; one message lists them all, and the module is unchanged.</exception>
    public static LoraConfig Load(nn.Module module, string folder)
    {
        ArgumentNullException.ThrowIfNull(module);
        ArgumentNullException.ThrowIfNull(folder);
        string file = Path.Combine(folder, ConfigName);
        var config = ConfigFile.Parse(Files.ReadAllText(file), file, root =>
        {
            root.RequireOneOf("peft_type", "LORA");
            root.RequireZero("lora_dropout");
            return new LoraConfig(root.Count("r"), root.Number("lora_alpha", 2.0 * root.Count("r")), root.Texts("target_modules"));
        });
        using var scope = NewDisposeScope();
        using var checkpoint = Checkpoint.Open(Path.Combine(folder, WeightsName));
        var trainable = module.parameters().Where(p => p.requires_grad).ToList();
        Apply(module, config);
        try
        {
            var state = Adapted(module).SelectMany(l => new[] { ($"{l.Name}.lora_A", (Tensor)l.Layer.lora_A!), ($"{l.Name}.lora_B", l.Layer.lora_B!) }).ToDictionary();
            CheckpointLoader.Load(state, checkpoint, checkpoint.Names.GroupBy(Own).ToDictionary(g => g.Key, g => g.ToArray()), "the adapters");
            return config;
        }
        catch
        {
            // As if nothing had been added: b is still 0 where a tensor did not fit.
            Merge(module);
            trainable.ForEach(p => p.requires_grad_(true));
            throw;
        }
    }

    /// <summary>Layers with an adapter, by name.</summary>
    internal static List<(string Name, Linear Layer)> Adapted(nn.Module module) =>
        [.. module.named_modules().Where(m => m.module is Linear { lora_A: not null }).Select(m => (m.name, (Linear)m.module))];

    private static List<Linear> Layers(nn.Module module, string target)
    {
        var found = module.named_modules().Where(m => m.module is Linear && (m.name == target || m.name.EndsWith("." + target, StringComparison.Ordinal))).Select(m => (Linear)m.module).ToList();
        return found.Count > 0 ? found
            : throw new ArgumentException($"the target '{target}' names no linear layer of {module.GetName()}; layers are named like {module.named_modules().Last(m => m.module is Linear).name}.");
    }

    // base_model.model.x.lora_A.weight, or x.lora_A.default.weight → x.lora_A
    private static string Own(string name)
    {
        string own = name.StartsWith(Prefix, StringComparison.Ordinal) ? name[Prefix.Length..] : name;
        return own.Replace(".default.weight", "", StringComparison.Ordinal).Replace("lora_A.weight", "lora_A", StringComparison.Ordinal).Replace("lora_B.weight", "lora_B", StringComparison.Ordinal);
    }
}
