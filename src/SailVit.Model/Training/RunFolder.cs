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
    /// <param name="state">How far the run is.</param>
    /// <param name="tensors">Those that no other replica writes.</param>
    /// <exception cref="CheckpointException">The disk is full or failed; earlier checkpoints are whole.</exception>
    public void Write(TrainerState state, IReadOnlyDictionary<string, Tensor> tensors)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(tensors);
        string folder = CheckpointPath(state.Step) + Unfinished;
        Try(folder, () => Directory.CreateDirectory(folder));
        try
        {
            SafetensorsWriter.Write(TensorFile(folder, _rank), tensors);
            Files.WriteAtomically(StateFile(folder, _rank), stream => JsonSerializer.Serialize(stream, state, TrainingJson.Options));
        }
        catch (CheckpointException)
        {
            // The disk is full, most likely: what was written of this step would only keep it so.
            Discard(folder);
            throw;
        }
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

    /// <summary>A checkpoint, of however many replicas; the caller disposes the tensors.</summary>
    /// <param name="step">Which.</param>
    /// <param name="wanted">Names of the tensors that are read.</param>
    /// <returns>The states of all replicas that wrote it, in the order of their ranks, and the tensors of all.</returns>
    /// <exception cref="CheckpointException">The checkpoint is not there or not whole.</exception>
    public (IReadOnlyList<TrainerState> States, Dictionary<string, Tensor> Tensors) Read(long step, Func<string, bool> wanted)
    {
        string folder = CheckpointPath(step);
        var states = new List<TrainerState> { ReadState(folder, 0) };
        // A run of more replicas that was killed here may have left files of higher ranks.
        states.AddRange(Enumerable.Range(1, states[0].Replicas - 1).Select(rank => ReadState(folder, rank)));
        var tensors = new Dictionary<string, Tensor>();
        for (int rank = 0; rank < states.Count; rank++)
        {
            using var file = SafetensorsFile.Open(TensorFile(folder, rank));
            foreach (string name in file.Tensors.Keys.Where(wanted))
            {
                tensors.Add(name, file.Read(name).DetachFromDisposeScope());
            }
        }
        return (states, tensors);
    }

    // This replica's part, and the folder where no other has one in it.
    private void Discard(string folder)
    {
        try
        {
            File.Delete(TensorFile(folder, _rank));
            File.Delete(StateFile(folder, _rank));
            Directory.Delete(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report; Publish of a later step removes the rest.
        }
    }

    private static TrainerState ReadState(string folder, int rank)
    {
        string file = StateFile(folder, rank);
        try
        {
            return JsonSerializer.Deserialize<TrainerState>(Files.ReadAllText(file), TrainingJson.Options) is { Replicas: > 0 } state ? state
                : throw new JsonException("it is empty or of no replica");
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{file}: not a trainer's state ({e.Message}).", e);
        }
    }

    private static string TensorFile(string folder, int rank) => System.IO.Path.Combine(folder, $"replica-{rank}.safetensors");

    private static string StateFile(string folder, int rank) => System.IO.Path.Combine(folder, $"replica-{rank}.json");

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
