using SailVit.Kernels;
using SailVit.Kernels.Interop;
using SailVit.Model.Checkpoints;
using SailVit.Model.Distributed;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Parameters that share a learning rate.</summary>
/// <param name="Name">Such as <c>vision</c>, <c>connector</c>, <c>language</c>.</param>
/// <param name="Parameters">By their names in the model.</param>
/// <param name="LearningRate">Before the schedule's factor.</param>
/// <param name="WeightDecay">Decoupled decay. Vectors (norm weights, biases) and what is added to every image, [1, N, C]
/// (positions, class token), never decay, as in timm and DINOv2.</param>
public sealed record TrainedGroup(string Name, IReadOnlyList<(string Name, Parameter Parameter)> Parameters, double LearningRate, double WeightDecay = 0);

/// <summary>AdamW on float32 master weights: parameters in bfloat16 or float16 are rounded copies of them.</summary>
/// <remarks>
/// A step of 1e-5 of a weight is below bfloat16's resolution (2⁻⁸): without masters, late training would stand still.
/// Gradients are summed in float32 over the micro-batches of a step. A parameter that got no gradient has one of zeros, so
/// that replicas with and without images make the same step.
/// Sharded, each replica keeps moments and masters of its share of the parameters only, updates those, and sends them round
/// (ZeRO stage 1, Rajbhandari et al. 2020, arXiv 1910.02054).
/// Source: Micikevicius et al. 2018, arXiv 1710.03740, §3.1; Loshchilov and Hutter 2019, algorithm 2.
/// </remarks>
public sealed partial class MasterAdamW : IDisposable
{
    private readonly List<Slot> _slots = [];
    private readonly AdamWOptions _options;
    private readonly IReplicas? _shards;

    /// <summary>Makes the state of all trainable parameters; moments begin at zero.</summary>
    /// <param name="groups">Parameters that require no gradient are left out.</param>
    /// <param name="beta1">Decay of the gradient's average.</param>
    /// <param name="beta2">Decay of the squared gradient's average.</param>
    /// <param name="eps">Added to the denominator.</param>
    /// <param name="shards">Replicas that share the state; null where each has all of it.</param>
    /// <exception cref="ArgumentException">Nothing is trainable, or a name stands twice.</exception>
    public MasterAdamW(IReadOnlyList<TrainedGroup> groups, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, IReplicas? shards = null)
    {
        ArgumentNullException.ThrowIfNull(groups);
        _options = new(0, beta1, beta2, eps);
        _shards = shards is { Count: > 1 } ? shards : null;
        Groups = groups;
        var names = new HashSet<string>();
        foreach (var group in groups)
        {
            foreach (var (name, parameter) in group.Parameters.Where(p => p.Parameter.requires_grad))
            {
                if (!names.Add(name))
                {
                    throw new ArgumentException($"The parameter {name} is in two groups; each parameter has one learning rate.", nameof(groups));
                }
                _slots.Add(new Slot(name, parameter, group));
            }
        }
        AssignOwners();
        if (_slots.Count == 0)
        {
            throw new ArgumentException("No parameter requires a gradient: there is nothing to train.", nameof(groups));
        }
    }

    /// <summary>The groups, frozen parameters included.</summary>
    public IReadOnlyList<TrainedGroup> Groups { get; }

    /// <summary>Whether this replica keeps the state of a share of the parameters only.</summary>
    public bool Sharded => _shards is not null;

    /// <summary>Steps made.</summary>
    public long Steps { get; private set; }

    /// <summary>Number of trained elements.</summary>
    public long ParameterCount => _slots.Sum(s => s.Count);

    // A parameter without a gradient has one of zeros: nothing to add, nothing to scale.
    private IEnumerable<Tensor> Taken => _slots.Select(s => s.Taken).OfType<Tensor>();

    private IEnumerable<Slot> Owned => _slots.Where(s => s.Owner == (_shards?.Rank ?? 0));

    // Largest first, each to the replica that has least so far: the same everywhere.
    private void AssignOwners()
    {
        var load = new long[_shards?.Count ?? 1];
        foreach (var slot in _slots.OrderByDescending(s => s.Count))
        {
            slot.Owner = Array.IndexOf(load, load.Min());
            load[slot.Owner] += slot.Count;
        }
        foreach (var slot in Owned)
        {
            slot.Allocate();
        }
    }

    // Parameters of all shards, each from its owner.
    private void Publish()
    {
        foreach (var slot in _slots)
        {
            slot.Publish();
            _shards?.Broadcast([slot.Parameter], slot.Owner);
        }
    }

    /// <summary>Takes the gradients that a backward pass left and adds them to those of the step.</summary>
    public void Accumulate() => _slots.ForEach(s => s.Accumulate());

    /// <summary>Names of the trained parameters, in a fixed order.</summary>
    public IReadOnlyList<string> Names => _slots.ConvertAll(s => s.Name);

    /// <summary>Number of elements of a parameter, by its place in <see cref="Names"/>.</summary>
    internal long Count(int parameter) => _slots[parameter].Count;

    /// <summary>Takes one parameter's gradient, by its place in <see cref="Names"/>.</summary>
    internal void Accumulate(int parameter) => _slots[parameter].Accumulate();

    /// <summary>Whether a backward pass left a gradient that was not taken yet.</summary>
    internal bool HasGradient(int parameter) => _slots[parameter].Parameter.grad is not null;

    /// <summary>The step's gradient of one parameter so far, float32, by its place in <see cref="Names"/>.</summary>
    internal Tensor Gradient(int parameter) => _slots[parameter].Gradient;

    /// <summary>The 2-norm of all gradients together, of any finite float32 values; scales them down where it is above <paramref name="most"/>.</summary>
    /// <param name="most">Null for no clipping.</param>
    public double ClipGradients(double? most)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        double norm = Math.Sqrt(SquareSum.Of([.. Taken]));
        if (most is { } limit && norm > limit && double.IsFinite(norm))
        {
            Scale(limit / norm);
        }
        return norm;
    }

    private void Scale(double factor)
    {
        // The product is made in float32, in which a factor below 1.2e-38 would lose its digits: then in two.
        foreach (double part in factor < 1e-37 ? [Math.Sqrt(factor), Math.Sqrt(factor)] : new[] { factor })
        {
            // Held: TorchSharp keeps a number that it converts itself alive for less than the call.
            using Scalar held = part;
            foreach (var gradient in Taken)
            {
                gradient.mul_(held);
            }
        }
    }

    /// <summary>One step with the gradients taken, which are then gone.</summary>
    /// <param name="factor">On every group's learning rate.</param>
    public void Step(double factor)
    {
        Steps++;
        using var noGrad = no_grad();
        foreach (var group in Owned.GroupBy(s => (s.Group.LearningRate, s.WeightDecay)))
        {
            var slots = group.ToList();
            functional.adamw_(slots.ConvertAll(s => s.Master), slots.ConvertAll(s => s.Gradient), slots.ConvertAll(s => s.Average), slots.ConvertAll(s => s.Square),
                null, Steps, _options with { lr = group.Key.LearningRate * factor, weight_decay = group.Key.WeightDecay });
        }
        Publish();
        DropGradients();
    }

    /// <summary>Forgets the gradients of a step that will not be made.</summary>
    public void DropGradients() => _slots.ForEach(s => s.DropGradient());

    /// <summary>Masters and moments by name (sharded, this replica's), for a checkpoint; the tensors stay this optimizer's.</summary>
    public IReadOnlyDictionary<string, Tensor> State()
    {
        var state = new Dictionary<string, Tensor>();
        foreach (var slot in Owned)
        {
            state.Add($"master.{slot.Name}", slot.Master);
            state.Add($"average.{slot.Name}", slot.Average);
            state.Add($"square.{slot.Name}", slot.Square);
        }
        return state;
    }

    /// <summary>Goes on from a state, bit by bit; parameters follow.</summary>
    /// <param name="state">As <see cref="State"/> gave it.</param>
    /// <param name="steps">Steps made until then.</param>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public void Load(IReadOnlyDictionary<string, Tensor> state, long steps)
    {
        ArgumentNullException.ThrowIfNull(state);
        using var noGrad = no_grad();
        foreach (var (name, tensor) in State())
        {
            if (!state.TryGetValue(name, out var saved) || !saved.shape.SequenceEqual(tensor.shape))
            {
                throw new CheckpointException($"The optimizer's state {(saved is null ? $"has no {name}" : $"has {name} of shape [{string.Join(", ", saved.shape)}], the model [{string.Join(", ", tensor.shape)}]")}; it belongs to another model, another choice of trainable parts or another number of replicas.");
            }
            tensor.copy_(saved);
        }
        Steps = steps;
        Publish();
    }

    /// <summary>Takes other weights in the place of the masters, such as their average; parameters follow, on all replicas.</summary>
    /// <param name="weights">By the names of <see cref="Masters"/>.</param>
    public void Replace(IReadOnlyDictionary<string, Tensor> weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        using var noGrad = no_grad();
        foreach (var slot in Owned)
        {
            slot.Master.copy_(weights[slot.Name]);
        }
        Publish();
    }

    /// <summary>The master weights by the parameters' names; sharded, this replica's.</summary>
    public IReadOnlyDictionary<string, Tensor> Masters => Owned.ToDictionary(s => s.Name, s => s.Master);

    /// <inheritdoc/>
    public void Dispose() => _slots.ForEach(s => s.Dispose());
}
