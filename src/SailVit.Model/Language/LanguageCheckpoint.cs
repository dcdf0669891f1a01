using SailVit.Model.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Language;

/// <summary>Loads and saves a language model alone, under the published names of its tensors.</summary>
public static class LanguageCheckpoint
{
    private const string InMultimodal = "language_model.";

    /// <summary>Loads a Hugging Face folder of a language model, or the language model in that of a multimodal one.</summary>
    /// <param name="folder">The folder; its tensors are read through a memory map, one at a time.</param>
    /// <param name="dtype">Of the model.</param>
    /// <exception cref="CheckpointException">Config or weights are missing, malformed, or do not fit; one message lists all.</exception>
    public static CausalLanguageModel Load(string folder, ScalarType dtype = ScalarType.Float32) => Load(folder, dtype, initialize: false);

    /// <inheritdoc cref="Load(string, ScalarType)"/>
    internal static CausalLanguageModel Load(string folder, ScalarType dtype, bool initialize)
    {
        ArgumentNullException.ThrowIfNull(folder);
        var config = LanguageConfigFile.Read(folder);
        using var checkpoint = Checkpoint.Open(folder);
        var model = new CausalLanguageModel(config, dtype, initialize);
        try
        {
            using var scope = NewDisposeScope();
            CheckpointLoader.Load(model.state_dict(), checkpoint, Sources(checkpoint.Names, config), "the language model");
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Saves a language model with its <c>config.json</c>.</summary>
    /// <exception cref="CheckpointException">The files could not be written. An old checkpoint there is whole.</exception>
    public static void Save(CausalLanguageModel model, string folder)
    {
        ArgumentNullException.ThrowIfNull(model);
        using var scope = NewDisposeScope();
        CheckpointWriter.Write(folder, model.state_dict(), config: LanguageConfigFile.Describe(model.Config).ToJsonString(ConfigFile.Indented) + "\n");
    }

    private static Dictionary<string, string[]> Sources(IReadOnlyCollection<string> names, LanguageConfig config)
    {
        string prefix = names.Any(name => name.StartsWith(InMultimodal, StringComparison.Ordinal)) ? InMultimodal : "";
        return names.Where(name => name.StartsWith(prefix, StringComparison.Ordinal) && !name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal))
            .Select(name => (Source: name, Target: name[prefix.Length..]))
            .Where(name => !(config.TieEmbeddings && name.Target == "lm_head.weight"))
            .ToDictionary(name => name.Target, name => new[] { name.Source });
    }
}
