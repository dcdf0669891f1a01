using System.Diagnostics;
using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Distributed;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Trains: gradients of some batches, clipping, a step; checkpoints from which a run goes on bit by bit.</summary>
/// <remarks>
/// The loss of a step is Σ w·CE / Σ w over all batches of all replicas, whatever their sizes: a batch's own mean counts by its
/// share of the weights. A step whose loss or gradients are not finite changes nothing and is counted; its batches are kept.
/// </remarks>
public sealed class Trainer : IDisposable
{
    private const string AveragePrefix = "ema.", SnapshotPrefix = "snapshot.", SnapshotSteps = "steps";

    private readonly TrainerOptions _options;
    private readonly Func<PackedBatch, Tensor> _loss;
    private readonly MasterAdamW _optimizer;
    private readonly IBatchSource _data;
    private readonly IReplicas _replicas;
    private readonly GradientReduction _reduction;
    private readonly RunFolder _folder;
    private readonly MovingAverage? _average;
    private AdaLrs? _search;
    private Dictionary<string, Tensor>? _snapshot;
    private long _snapshotSteps;

    /// <summary>Prepares a run from its beginning; <see cref="Resume"/> goes on with an earlier one.</summary>
    /// <param name="options">How to train.</param>
    /// <param name="loss">Σ w·CE / Σ w of one batch.</param>
    /// <param name="optimizer">Holds the trained parameters; stays the caller's.</param>
    /// <param name="data">This replica's batches; stays the caller's.</param>
    /// <param name="replicas">The other processes; stays the caller's.</param>
    /// <param name="backwardOrder">Names of the parameters whose gradients are complete when the backward pass has come by section
    /// 0, 1, … (see <see cref="BackwardPassed"/>): they are exchanged while the pass goes on. Null: all at its end.</param>
    public Trainer(TrainerOptions options, Func<PackedBatch, Tensor> loss, MasterAdamW optimizer, IBatchSource data, IReplicas replicas, IReadOnlyList<IReadOnlyList<string>>? backwardOrder = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(replicas);
        options.Validate();
        _options = options;
        _loss = loss;
        _optimizer = optimizer;
        _data = data;
        _replicas = replicas;
        _reduction = new(optimizer, replicas, backwardOrder ?? []);
        _folder = new RunFolder(options.Folder, replicas.Rank);
        _average = options.AverageDecay is { } decay ? new(optimizer.Masters, decay) : null;
        _search = options.AdaLrs is { } search ? new(search) : null;
    }

    /// <summary>Number of the next step.</summary>
    public long Step { get; private set; }

    /// <summary>Steps skipped so far.</summary>
    public int BadSteps { get; private set; }

    /// <summary>The averaged weights by parameter name; null without averaging.</summary>
    public IReadOnlyDictionary<string, Tensor>? Average => _average?.Weights;

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
        if (Part(tensors, SnapshotPrefix) is { Count: > 0 } snapshot && snapshot.Remove(SnapshotSteps, out var steps))
        {
            _snapshot = snapshot;
            _snapshotSteps = (long)steps.item<double>();
            steps.Dispose();
        }
        _data.RestoreState([.. states.Select(s => s.Data)]);
        set_rng_state(tensor(state.Random));
        (Step, BadSteps) = (state.Step, state.BadSteps);
        foreach (var copied in tensors.Where(t => _snapshot is null || !t.Key.StartsWith(SnapshotPrefix, StringComparison.Ordinal)))
        {
            copied.Value.Dispose();
        }
        return true;
    }

    /// <summary>Trains until the schedule ends or <paramref name="cancel"/> is asked for; either way the last step is in a checkpoint.</summary>
    /// <param name="report">Called after every step, on every replica.</param>
    /// <param name="cancel">Looked at between steps.</param>
    /// <returns>Whether the schedule's end was reached.</returns>
    /// <exception cref="TrainingException">Too many bad steps.</exception>
    /// <exception cref="CheckpointException">A checkpoint could not be written; the ones before are whole.</exception>
    public bool Run(Action<StepReport>? report = null, CancellationToken cancel = default)
    {
        long saved = Step;
        while (Step < _options.Schedule.Steps && !Cancelled(cancel))
        {
            // Not as the argument of a conditional call, which without a listener would not be evaluated.
            var step = MakeStep();
            report?.Invoke(step);
            if (Step % _options.CheckpointEvery == 0)
            {
                Save();
                saved = Step;
            }
        }
        if (saved != Step)
        {
            Save();
        }
        return Step >= _options.Schedule.Steps;
    }

    // All replicas stop at the same step.
    private bool Cancelled(CancellationToken cancel) => _replicas.Sum(cancel.IsCancellationRequested ? 1 : 0) > 0;

    private StepReport MakeStep()
    {
        var watch = Stopwatch.StartNew();
        using var scope = NewDisposeScope();
        PackedBatch[] batches = [.. Enumerable.Range(0, _options.BatchesPerStep).Select(_ => _data.Next())];
        try
        {
            double factor = _options.Schedule.Factor(Step) * (_search?.State.Factor ?? 1);
            double loss = Gradients(batches);
            double norm = _optimizer.ClipGradients(_options.ClipNorm);
            bool bad = !double.IsFinite(loss) || !double.IsFinite(norm);
            if (bad)
            {
                Skip(batches, loss);
            }
            else
            {
                _optimizer.Step(factor);
                _average?.Update(_optimizer.Masters, _optimizer.Steps);
                Search(loss);
            }
            return new(Step++, loss, factor, norm, bad, _replicas.Sum(batches.Sum(b => b.Ids.numel())), _replicas.Sum(batches.Sum(b => b.Tiles)), _replicas.Sum(batches.Sum(b => b.Samples)), watch.Elapsed.TotalSeconds);
        }
        finally
        {
            Array.ForEach(batches, b => b.Dispose());
        }
    }

    /// <summary>Says that the backward pass has come by a section of the parameters, and by all before it.</summary>
    public void BackwardPassed(int section) => _reduction.Passed(section);

    /// <summary>Leaves the gradients of all replicas together in the optimizer and returns their loss.</summary>
    private double Gradients(PackedBatch[] batches)
    {
        double[] weights = Array.ConvertAll(batches, b => b.Weights.sum(float64).item<double>());
        double all = _replicas.Sum(weights.Sum()), loss = 0;
        for (int i = 0; i < batches.Length; i++)
        {
            using var scope = NewDisposeScope();
            double share = all > 0 ? weights[i] / all : 0;
            using Scalar factor = share;
            var mean = _loss(batches[i]);
            if (i == batches.Length - 1)
            {
                _reduction.Begin();
            }
            Kernels.Interop.BackwardException.Run((mean * factor).sum());
            if (i < batches.Length - 1)
            {
                _optimizer.Accumulate();
            }
            // NaN, not zero, where a batch without weight has a loss that is not finite.
            loss += mean.item<float>() * share;
        }
        _reduction.Finish();
        return _replicas.Sum(loss);
    }

    private void Skip(PackedBatch[] batches, double loss)
    {
        _optimizer.DropGradients();
        BadSteps++;
        for (int i = 0; i < batches.Length; i++)
        {
            BadBatch.Save(System.IO.Path.Combine(_folder.Path, "bad-batches"), $"step-{Step:D8}-replica-{_replicas.Rank}-batch-{i}", batches[i]);
        }
        if (BadSteps > _options.MostBadSteps)
        {
            throw new TrainingException($"{BadSteps} steps had a loss or gradients that are not finite, the last of them step {Step} (loss {loss}); the limit is {_options.MostBadSteps}. Their batches are in {System.IO.Path.Combine(_folder.Path, "bad-batches")}; look at them, or lower the learning rate.");
        }
    }

    private void Search(double loss)
    {
        switch (_search?.Observe(loss))
        {
            case AdaLrsAction.Snapshot:
                DropSnapshot();
                _snapshot = State().ToDictionary(s => s.Key, s => s.Value.detach().clone().DetachFromDisposeScope());
                _snapshotSteps = _optimizer.Steps;
                break;
            case AdaLrsAction.Restore:
                _optimizer.Load(_snapshot!, _snapshotSteps);
                CopyInto(_average?.Weights, Part(_snapshot!, AveragePrefix));
                DropSnapshot();
                break;
            default:
                break;
        }
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

    /// <inheritdoc/>
    public void Dispose()
    {
        _reduction.Dispose();
        _average?.Dispose();
        DropSnapshot();
    }

    private void DropSnapshot()
    {
        foreach (var copy in _snapshot?.Values ?? Enumerable.Empty<Tensor>())
        {
            copy.Dispose();
        }
        _snapshot = null;
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
