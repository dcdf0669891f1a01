using System.Collections.Concurrent;
using SailVit.Model.Distributed;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Sums the gradients of all replicas in buckets, each as soon as the backward pass has completed it, on another thread
/// while the pass goes on.</summary>
/// <remarks>Buckets and their order are fixed before the first step, so that all replicas exchange the same ones whatever their
/// batches are. A sum is made element by element in the order of the ranks: buckets do not change its bits.
/// Source: Li et al. 2020, "PyTorch Distributed", arXiv 2006.15704, §3.2.</remarks>
internal sealed class GradientReduction : IDisposable
{
    // Elements of a bucket, if its sections have as many: the network's latency is small against it.
    private const long LeastElements = 1 << 20;

    private readonly MasterAdamW _optimizer;
    private readonly IReplicas _replicas;
    private readonly List<Bucket> _buckets = [];
    private readonly BlockingCollection<IReadOnlyList<Tensor>> _ready = [];
    private readonly SemaphoreSlim _reduced = new(0);
    private Exception? _failure;
    private int _next = int.MaxValue;

    /// <summary>Slots of the optimizer, complete when the pass has come by <paramref name="Section"/>.</summary>
    private sealed record Bucket(IReadOnlyList<int> Slots, int Section);

    /// <param name="optimizer">Holds the gradients.</param>
    /// <param name="replicas">Nobody else uses them between <see cref="Begin"/> and <see cref="Finish"/>.</param>
    /// <param name="order">Names of the parameters whose gradients are complete when the pass has come by section 0, 1, …; those in no
    /// section are complete at the end.</param>
    public GradientReduction(MasterAdamW optimizer, IReplicas replicas, IReadOnlyList<IReadOnlyList<string>> order)
    {
        (_optimizer, _replicas) = (optimizer, replicas);
        var slots = optimizer.Names.Select((name, i) => (name, i)).ToDictionary(s => s.name, s => s.i);
        var rest = optimizer.Names.Except(order.SelectMany(names => names)).ToList();
        var bucket = new List<int>();
        for (int section = 0; section <= order.Count; section++)
        {
            bucket.AddRange((section < order.Count ? order[section] : rest).Where(slots.ContainsKey).Select(name => slots[name]));
            if (bucket.Count > 0 && (section == order.Count || bucket.Sum(optimizer.Count) >= LeastElements))
            {
                _buckets.Add(new(bucket, section));
                bucket = [];
            }
        }
        if (replicas.Count > 1)
        {
            // Not of the pool, which the data's threads may have filled.
            new Thread(Reduce) { IsBackground = true, Name = "gradients" }.Start();
        }
    }

    /// <summary>The backward pass that follows is the step's last.</summary>
    public void Begin() => _next = 0;

    /// <summary>The pass has come by a section and all before it.</summary>
    public void Passed(int section)
    {
        while (_next < _buckets.Count && _buckets[_next].Section <= section)
        {
            Take(_buckets[_next++]);
        }
    }

    /// <summary>The pass is over: returns when the optimizer's gradients are the sums over all replicas.</summary>
    public void Finish()
    {
        if (_buckets.Take(_next).SelectMany(b => b.Slots).Where(_optimizer.HasGradient).Cast<int?>().FirstOrDefault() is { } late)
        {
            throw new InvalidOperationException($"{_optimizer.Names[late]} got a gradient when the backward pass had come by its section, and its sum had begun; it belongs into a later section.");
        }
        Passed(int.MaxValue);
        _next = int.MaxValue;
        for (int i = 0; _replicas.Count > 1 && i < _buckets.Count; i++)
        {
            _reduced.Wait();
        }
        if (_failure is { } failure)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }
    }

    private void Take(Bucket bucket)
    {
        foreach (int slot in bucket.Slots)
        {
            _optimizer.Accumulate(slot);
        }
        if (_replicas.Count > 1)
        {
            _ready.Add([.. bucket.Slots.Select(slot => _optimizer.Gradient(slot))]);
        }
    }

    private void Reduce()
    {
        foreach (var gradients in _ready.GetConsumingEnumerable())
        {
            try
            {
                if (_failure is null)
                {
                    _replicas.AllReduceSum(gradients);
                }
            }
#pragma warning disable CA1031 // Thrown where the step waits for it.
            catch (Exception e)
#pragma warning restore CA1031
            {
                _failure = e;
            }
            _reduced.Release();
        }
    }

    // The thread ends by itself; where a replica has died it may hang in the library, and is not waited for.
    /// <inheritdoc/>
    public void Dispose() => _ready.CompleteAdding();
}
