using System.Globalization;
using System.Text.Json;
using SailVit.Model.Checkpoints;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Checkpoints of a run, <c>step-00000042</c> and so on: each appears whole or not at all, the last ones stay.</summary>
/// <remarks>A checkpoint is written into a folder with another name, flushed, and renamed: a run killed at any moment finds
/// the one before. Each replica writes its own part.</remarks>
public sealed class RunFolder
{
    private const string Prefix = "step-", Unfinished = ".unfinished";

    private readonly int _rank;

    /// <summary>Opens a run's folder for a replica; made where it is missing.</summary>
    /// <exception cref="CheckpointException">The folder cannot be made.</exception>
    public RunFolder(string path, int rank = 0)
    {
        ArgumentNullException.ThrowIfNull(path);
        Path = path;
        _rank = rank;
        Try(path, () => Directory.CreateDirectory(path));
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>Steps of the complete checkpoints, oldest first.</summary>
    public IReadOnlyList<long> Checkpoints =>
    [
        .. Directory.EnumerateDirectories(Path, Prefix + "*").Select(System.IO.Path.GetFileName)
            .Select(name => long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long step) ? step : -1)
            .Where(step => step >= 0).Order(),
    ];

    /// <summary>Folder of a complete checkpoint.</summary>
    public string CheckpointPath(long step) => System.IO.Path.Combine(Path, Prefix + step.ToString("D8", CultureInfo.InvariantCulture));

    /// <summary>Writes this replica's part of a checkpoint beside; <see cref="Publish"/> completes it when all parts are there.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed; earlier checkpoints are whole.</exception>
    public void Write(TrainerState state, IReadOnlyDictionary<string, Tensor> tensors)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(tensors);
        string folder = CheckpointPath(state.Step) + Unfinished;
        Try(folder, () => Directory.CreateDirectory(folder));
        SafetensorsWriter.Write(TensorFile(folder), tensors);
        Files.WriteAtomically(StateFile(folder), stream => JsonSerializer.Serialize(stream, state, TrainingJson.Options));
    }

    /// <summary>Gives a checkpoint its name and drops the oldest beyond <paramref name="keep"/>. Called by one replica.</summary>
    /// <exception cref="CheckpointException">The folder cannot be renamed.</exception>
    public void Publish(long step, int keep)
    {
        string folder = CheckpointPath(step);
        Try(folder, () =>
        {
            if (Directory.Exists(folder))
            {
                // The same step again, after going back to an earlier checkpoint.
                Directory.Delete(folder, recursive: true);
            }
            Directory.Move(folder + Unfinished, folder);
        });
        foreach (string left in Directory.EnumerateDirectories(Path, Prefix + "*" + Unfinished))
        {
            Try(left, () => Directory.Delete(left, recursive: true));
        }
        foreach (long old in Checkpoints.SkipLast(keep))
        {
            Try(CheckpointPath(old), () => Directory.Delete(CheckpointPath(old), recursive: true));
        }
    }

    /// <summary>This replica's part of a checkpoint; the caller disposes the tensors.</summary>
    /// <exception cref="CheckpointException">The checkpoint is not there, not whole, or written by another number of replicas.</exception>
    public (TrainerState State, Dictionary<string, Tensor> Tensors) Read(long step)
    {
        string folder = CheckpointPath(step), file = StateFile(folder);
        TrainerState state;
        try
        {
            state = JsonSerializer.Deserialize<TrainerState>(Files.ReadAllText(file), TrainingJson.Options) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{file}: not a trainer's state ({e.Message}).", e);
        }
        using var tensors = SafetensorsFile.Open(TensorFile(folder));
        return (state, tensors.Tensors.Keys.ToDictionary(name => name, name => tensors.Read(name).DetachFromDisposeScope()));
    }

    private string TensorFile(string folder) => System.IO.Path.Combine(folder, $"replica-{_rank}.safetensors");

    private string StateFile(string folder) => System.IO.Path.Combine(folder, $"replica-{_rank}.json");

    private static void Try(string path, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new CheckpointException($"{path}: {Files.Reason(e, path)}", e);
        }
    }
}

/// <summary>How a run's records are written as JSON.</summary>
internal static class TrainingJson
{
    public static JsonSerializerOptions Options { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };
}
