using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Multimodal;

public sealed partial class MultimodalModel
{
    // What belongs to a published folder besides weights and config.
    private static readonly string[] SideFiles = ["tokenizer*", "vocab*", "merges.txt", "added_tokens.json", "special_tokens_map.json", "generation_config.json", "preprocessor_config.json", "chat_template*", "*.py"];

    private string? _folder;

    /// <summary>Loads a SAIL-VL or SAIL-VL2 folder as published: <c>config.json</c> and safetensors, sharded or not.</summary>
    /// <param name="folder">The folder; its tensors are read through a memory map, one at a time.</param>
    /// <param name="dtype">Of the model: float32, bfloat16 or float16. Null: the checkpoint's own.</param>
    /// <exception cref="CheckpointException">Config or weights are missing or malformed, or tensors are missing, unexpected, or of a
    /// wrong shape or dtype; one message lists them all.</exception>
    public static MultimodalModel Load(string folder, ScalarType? dtype = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        var config = MultimodalConfigFile.Read(folder);
        using var checkpoint = Checkpoint.Open(folder);
        var sources = KeyMap.ResolveMultimodal(checkpoint.Names, config.Vision.Family, config.Language.TieEmbeddings);
        var model = new MultimodalModel(config, dtype ?? StoredType(checkpoint), initialize: false) { _folder = folder };
        try
        {
            using var scope = NewDisposeScope();
            AddAdapters(model.Vision, config.UseBackboneLora, "vision_model.", sources.Keys);
            AddAdapters(model.Language, config.UseLlmLora, "language_model.", sources.Keys);
            CheckpointLoader.Load(model.state_dict(), checkpoint, sources, "the model");
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Saves the model as a folder of the same layout: config, shards of at most 5 GB, and the tokenizer's files where it
    /// was loaded with some.</summary>
    /// <exception cref="CheckpointException">The files could not be written. An old checkpoint there is whole.</exception>
    public void Save(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        using var scope = NewDisposeScope();
        var config = Config with { UseBackboneLora = AdapterRank(Vision), UseLlmLora = AdapterRank(Language) };
        HashSet<string> adapted = [.. Lora.Adapted(this).Select(l => l.Name)];
        var state = state_dict().ToDictionary(p => LoraNames.Published(p.Key, config, adapted), p => p.Value);
        CheckpointWriter.Write(folder, state, config: MultimodalConfigFile.Text(config, state.Values.First().dtype, _folder));
        CopySideFiles(folder);
    }

    // As InternVL: alpha is twice the rank, and the checkpoint's names say which layers have an adapter.
    private static void AddAdapters(nn.Module module, int rank, string prefix, IEnumerable<string> names)
    {
        if (rank > 0)
        {
            string[] layers = [.. names.Where(n => n.StartsWith(prefix, StringComparison.Ordinal) && n.EndsWith(".lora_A", StringComparison.Ordinal)).Select(n => n[prefix.Length..^".lora_A".Length])];
            try
            {
                Lora.Apply(module, new(rank, 2.0 * rank, layers));
            }
            catch (ArgumentException e)
            {
                throw new CheckpointException($"the checkpoint's adapters do not fit: {e.Message}", e);
            }
        }
    }

    private static int AdapterRank(nn.Module module)
    {
        var layers = Lora.Adapted(module);
        int rank = layers.Count == 0 ? 0 : (int)layers[0].Layer.lora_A!.shape[0];
        return layers.TrueForAll(l => l.Layer.lora_A!.shape[0] == rank && l.Layer.AdapterScale == 2) ? rank
            : throw new CheckpointException($"{ConfigFile.Name} can describe adapters of one rank with alpha twice the rank only; write these with {nameof(Lora)}.{nameof(Lora.Save)}, or merge them.");
    }

    private static ScalarType StoredType(Checkpoint checkpoint)
    {
        string name = checkpoint.Names.First(n => n.StartsWith("language_model.", StringComparison.Ordinal));
        return SafetensorsDType.TorchType(checkpoint.Entry(name).DType) is { } type && type != ScalarType.Float64 ? type : ScalarType.Float32;
    }

    private void CopySideFiles(string folder)
    {
        if (_folder is null || !Directory.Exists(_folder) || Path.GetFullPath(_folder) == Path.GetFullPath(folder))
        {
            return;
        }
        foreach (string file in SideFiles.SelectMany(pattern => Directory.EnumerateFiles(_folder, pattern)).Distinct())
        {
            string target = Path.Combine(folder, Path.GetFileName(file));
            try
            {
                Files.WriteAtomically(target, stream => { using var source = File.OpenRead(file); source.CopyTo(stream); });
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Files.CannotRead(file, e);
            }
        }
    }
}
