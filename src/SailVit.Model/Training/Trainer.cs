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
/// share of the weights. A step whose loss or gradients are not finite changes nothing and is counted; its batches are kept. So is one
/// without a single token to learn: its loss is 0 / 0, and weight decay, moments and average would move on nothing.
/// </remarks>
public sealed partial class Trainer : IDisposable
{
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
        if (all == 0)
        {
            return double.NaN;
        }
        for (int i = 0; i < batches.Length; i++)
        {
            using var scope = NewDisposeScope();
            double share = weights[i] / all;
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
            throw new TrainingException($"{BadSteps} steps had no token to learn, or a loss or gradients that are not finite, the last of them step {Step} (loss {loss}); the limit is {_options.MostBadSteps}. Their batches are in {System.IO.Path.Combine(_folder.Path, "bad-batches")}; look at them, or lower the learning rate.");
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
            case AdaLrsAction.Discard:
                DropSnapshot();
                break;
            default:
                break;
        }
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
}
