using SailVit.Model.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

public sealed partial class Trainer
{
    private const string AveragePrefix = "ema.", SnapshotPrefix = "snapshot.", SnapshotSteps = "steps";

    /// <summary>Goes on from the newest checkpoint of the run's folder: with the same bits by as many replicas as wrote it, and by
    /// another number as if there had been that many from the start, up to rounding.</summary>
    /// <returns>Whether there is one.</returns>
    /// <exception cref="CheckpointException">It belongs to another model or run.</exception>
    public bool Resume()
    {
        if (_folder.Checkpoints is not [.., var newest])
        {
            return false;
        }
        var mine = OwnNames();
        var (states, tensors) = _folder.Read(newest, mine.Contains);
        var state = states[_replicas.Rank % states.Count];
        _optimizer.Load(Part(tensors, ""), state.OptimizerSteps);
        CopyInto(_average?.Weights, Part(tensors, AveragePrefix));
        _search = _options.AdaLrs is { } search ? new(search, state.AdaLrs) : null;
        ResumeTrial(tensors);
        _data.RestoreState([.. states.Select(s => s.Data)]);
        set_rng_state(tensor(state.Random));
        (Step, BadSteps) = (state.Step, state.BadSteps);
        foreach (var copied in tensors.Where(t => _snapshot is null || !t.Key.StartsWith(SnapshotPrefix, StringComparison.Ordinal)))
        {
            copied.Value.Dispose();
        }
        return true;
    }

    // What a trial that was running goes back to. Earlier versions kept the copy of an ended one, which nothing needs.
    private void ResumeTrial(Dictionary<string, Tensor> tensors)
    {
        DropSnapshot();
        if (_search is not { InTrial: true })
        {
            return;
        }
        var copy = Part(tensors, SnapshotPrefix);
        if (State().Keys.Append(SnapshotSteps).FirstOrDefault(name => !copy.ContainsKey(name)) is { } missing)
        {
            throw new CheckpointException($"The checkpoint was written during a trial of a learning rate and has no {SnapshotPrefix}{missing} to go back to; an earlier version wrote it. Begin anew.");
        }
        copy.Remove(SnapshotSteps, out var steps);
        _snapshotSteps = (long)steps!.item<double>();
        steps.Dispose();
        _snapshot = copy;
    }

    /// <summary>Writes a checkpoint of the run as it is now.</summary>
    public void Save()
    {
        using var scope = NewDisposeScope();
        _folder.Write(
            new() { Step = Step, OptimizerSteps = _optimizer.Steps, BadSteps = BadSteps, Replicas = _replicas.Count, Data = _data.SaveState(), Random = get_rng_state().data<byte>().ToArray(), AdaLrs = _search?.State },
            OwnTensors());
        _replicas.Barrier();
        if (_replicas.Rank == 0)
        {
            _folder.Publish(Step, _options.KeepCheckpoints);
        }
        _replicas.Barrier();
    }

    private HashSet<string> OwnNames() => [.. State().Keys.SelectMany(name => new[] { name, SnapshotPrefix + name }), SnapshotPrefix + SnapshotSteps];

    // All that a step changes.
    private Dictionary<string, Tensor> State()
    {
        var state = new Dictionary<string, Tensor>(_optimizer.State());
        Add(state, AveragePrefix, _average?.Weights);
        return state;
    }

    // What no other replica has, or is chosen to write.
    private Dictionary<string, Tensor> OwnTensors()
    {
        var tensors = new Dictionary<string, Tensor>();
        if (_optimizer.Sharded || _replicas.Rank == 0)
        {
            Add(tensors, "", State());
            Add(tensors, SnapshotPrefix, _snapshot);
        }
        if (_snapshot is not null && _replicas.Rank == 0)
        {
            tensors[SnapshotPrefix + SnapshotSteps] = tensor((double)_snapshotSteps);
        }
        return tensors;
    }

    private static void Add(Dictionary<string, Tensor> tensors, string prefix, IReadOnlyDictionary<string, Tensor>? part)
    {
        foreach (var (name, value) in part ?? new Dictionary<string, Tensor>())
        {
            tensors[prefix + name] = value;
        }
    }

    private static Dictionary<string, Tensor> Part(Dictionary<string, Tensor> tensors, string prefix) =>
        tensors.Where(t => t.Key.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(t => t.Key[prefix.Length..], t => t.Value);

    private static void CopyInto(IReadOnlyDictionary<string, Tensor>? to, Dictionary<string, Tensor> from)
    {
        using var noGrad = no_grad();
        foreach (var (name, value) in to ?? new Dictionary<string, Tensor>())
        {
            value.copy_(from.TryGetValue(name, out var saved) ? saved
                : throw new CheckpointException($"The checkpoint has no moving average of {name}; it was made without one. Train on without averaging, or begin anew."));
        }
    }
}
