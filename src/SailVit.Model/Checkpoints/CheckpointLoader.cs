using SailVit.Model.Encoders;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>Fills an encoder from a checkpoint, after checking that every tensor fits.</summary>
public static class CheckpointLoader
{
    /// <summary>Loads a file, an index or a folder into a module. Values are converted to the module's dtype.</summary>
    /// <param name="module">The encoder.</param>
    /// <param name="path">Checkpoint file, index or folder.</param>
    /// <param name="family">Whose names the module has.</param>
    /// <exception cref="CheckpointException">The checkpoint is malformed, or tensors are missing, unexpected, or of a wrong
    /// shape or dtype; one message lists them all, and the module is unchanged.</exception>
    public static void Load(nn.Module module, string path, EncoderFamily family)
    {
        ArgumentNullException.ThrowIfNull(module);
        Load(module.state_dict(), path, family);
    }

    /// <summary>Loads a file, an index or a folder into the tensors of a state_dict.</summary>
    /// <inheritdoc cref="Load(nn.Module, string, EncoderFamily)"/>
    public static void Load(IReadOnlyDictionary<string, Tensor> state, string path, EncoderFamily family)
    {
        ArgumentNullException.ThrowIfNull(state);
        using var checkpoint = Checkpoint.Open(path);
        Load(state, checkpoint, KeyMap.Resolve(checkpoint.Names, family), "the encoder");
    }

    /// <summary>Fills a state_dict from a checkpoint.</summary>
    /// <param name="state">Tensors by name.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="sources">Which tensors of the checkpoint make up each.</param>
    /// <param name="what">For the message: what is filled.</param>
    /// <exception cref="CheckpointException">As above.</exception>
    internal static void Load(IReadOnlyDictionary<string, Tensor> state, Checkpoint checkpoint, IReadOnlyDictionary<string, string[]> sources, string what)
    {
        Check(state, checkpoint, sources, what);

        using var noGrad = torch.no_grad();
        foreach (var (name, target) in state)
        {
            using var scope = torch.NewDisposeScope();
            target.copy_(KeyMap.Assemble(name, [.. sources[name].Select(checkpoint.Read)]));
        }
    }

    private static void Check(IReadOnlyDictionary<string, Tensor> state, Checkpoint checkpoint, IReadOnlyDictionary<string, string[]> sources, string what)
    {
        var problems = new List<string>();
        Add(problems, "missing", state.Keys.Where(name => !sources.ContainsKey(name)));
        Add(problems, "unexpected", sources.Where(source => !state.ContainsKey(source.Key)).SelectMany(source => source.Value));
        foreach (var (name, target) in state)
        {
            if (sources.TryGetValue(name, out string[]? parts) && Mismatch(name, target, parts, checkpoint) is { } problem)
            {
                problems.Add(problem);
            }
        }
        if (problems.Count > 0)
        {
            throw new CheckpointException($"{checkpoint.Path}: does not fit {what}: {string.Join("; ", problems)}.");
        }
    }

    private static void Add(List<string> problems, string what, IEnumerable<string> names)
    {
        var list = names.Order(StringComparer.Ordinal).Select(name => TensorEntry.Show(name)).ToList();
        if (list.Count > 0)
        {
            problems.Add($"{what} {string.Join(", ", list)}");
        }
    }

    private static string? Mismatch(string name, Tensor target, string[] parts, Checkpoint checkpoint)
    {
        string shown = string.Join(" + ", parts.Select(part => TensorEntry.Show(part)));
        if (parts.Length != KeyMap.PartCount(parts[0]))
        {
            return $"{TensorEntry.Show(name)} is made of {shown}, {(parts.Length < KeyMap.PartCount(parts[0]) ? "where query, key and value are needed" : "which name the same parameter")}";
        }
        var entries = parts.Select(checkpoint.Entry).ToList();
        if (entries.FirstOrDefault(entry => !SafetensorsDType.IsFloat(entry.DType)) is { } wrong)
        {
            return $"{wrong.Shown} has dtype {wrong.DType}, must be F32, BF16, F16 or F64";
        }
        long[]? shape = KeyMap.AssembledShape(name, [.. entries.Select(entry => entry.Shape)]);
        return shape is not null && shape.AsSpan().SequenceEqual(target.shape)
            ? null
            : $"{shown} has shape {string.Join(" + ", entries.Select(entry => TensorEntry.Show(entry.Shape)))}, must be {TensorEntry.Show(target.shape)}";
    }
}
