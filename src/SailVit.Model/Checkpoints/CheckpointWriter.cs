using SailVit.Model.Encoders;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>Writes a checkpoint folder as Hugging Face does: <c>model.safetensors</c>, or
/// <c>model-00001-of-0000N.safetensors</c> with their index where one file would be too large.</summary>
/// <remarks>Everything is written beside and then renamed, in an order that lets a reader find either the old tensors or the
/// new ones at every moment: a write that fails or is killed leaves the old checkpoint whole.</remarks>
public static class CheckpointWriter
{
    /// <summary>Largest shard unless asked otherwise: 5 GB, as Hugging Face's.</summary>
    public const long DefaultMaxShardBytes = 5_000_000_000;

    /// <summary>Saves an encoder, its <c>config.json</c> included, under the published names of its tensors.</summary>
    /// <param name="encoder">The encoder; its dtype is that of the files.</param>
    /// <param name="folder">The checkpoint folder, made where it is missing. An old checkpoint in it is replaced; other files stay.</param>
    /// <param name="maxShardBytes">Largest shard; a larger tensor gets one of its own.</param>
    /// <exception cref="CheckpointException">The files could not be written (wrong path, no permission, disk full), or no
    /// config can describe the encoder. The old checkpoint is whole.</exception>
    public static void Save(VisionTransformer encoder, string folder, long maxShardBytes = DefaultMaxShardBytes)
    {
        ArgumentNullException.ThrowIfNull(encoder);
        using var scope = NewDisposeScope();
        Write(folder, encoder.state_dict(), maxShardBytes, ConfigFile.Text(encoder.Config));
    }

    /// <summary>Writes tensors by name.</summary>
    /// <param name="folder">As in <see cref="Save"/>.</param>
    /// <param name="tensors">Tensors on any device, of any strides; shards are filled in this order.</param>
    /// <param name="maxShardBytes">Largest shard; a larger tensor gets one of its own.</param>
    /// <param name="config">Text of <c>config.json</c>; null leaves the one that is there.</param>
    /// <exception cref="CheckpointException">The files could not be written. The old checkpoint is whole.</exception>
    public static void Write(string folder, IReadOnlyDictionary<string, Tensor> tensors, long maxShardBytes = DefaultMaxShardBytes, string? config = null) =>
        Write(folder, tensors, maxShardBytes, config, afterEachStep: null);

    /// <summary>The same; a test looks at the folder after each change in it.</summary>
    internal static void Write(string folder, IReadOnlyDictionary<string, Tensor> tensors, long maxShardBytes, string? config, Action? afterEachStep)
    {
        ArgumentNullException.ThrowIfNull(folder);
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxShardBytes, 1);
        bool made = Make(folder);
        try
        {
            using var swap = new CheckpointSwap(folder, Split(tensors, maxShardBytes), afterEachStep);
            swap.Write(tensors);
            swap.Commit(config);
        }
        catch
        {
            if (made && !Directory.EnumerateFileSystemEntries(folder).Any())
            {
                Directory.Delete(folder);
            }
            throw;
        }
    }

    /// <summary>Which tensors share a shard, by the rule of huggingface_hub: in order, as long as they fit.</summary>
    internal static List<List<string>> Split(IReadOnlyDictionary<string, Tensor> tensors, long maxShardBytes)
    {
        List<List<string>> shards = [];
        List<string> open = [];
        long openBytes = 0;
        foreach (var (name, tensor) in tensors)
        {
            long bytes = Bytes(tensor);
            if (bytes > maxShardBytes)
            {
                shards.Add([name]);
                continue;
            }
            if (openBytes + bytes > maxShardBytes)
            {
                shards.Add(open);
                (open, openBytes) = ([], 0);
            }
            open.Add(name);
            openBytes += bytes;
        }
        if (open.Count > 0 || shards.Count == 0)
        {
            shards.Add(open);
        }
        return shards;
    }

    internal static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();

    private static bool Make(string folder)
    {
        if (folder.Length == 0 || File.Exists(folder))
        {
            throw new CheckpointException($"{TensorEntry.Show(folder)}: is {(folder.Length == 0 ? "an empty path" : "a file")}; a checkpoint is written into a folder.");
        }
        if (Directory.Exists(folder))
        {
            return false;
        }
        try
        {
            Directory.CreateDirectory(folder);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new CheckpointException($"{TensorEntry.Show(folder)}: the folder could not be made: {e.Message}", e);
        }
    }
}
