using SailVit.Bench.Measuring;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench;

/// <summary>Both sides of a comparison on the same inputs. A call returns all results (outputs, then gradients), which the
/// caller disposes; nothing is kept between calls but the inputs.</summary>
public abstract class BenchPair : IDisposable
{
    /// <summary>Our implementation.</summary>
    public abstract Tensor[] Ours();

    /// <summary>The baseline.</summary>
    public abstract Tensor[] Stock();

    /// <summary>Errors of both sides against float64, the worst of outputs and gradients; null where none was computed.</summary>
    public abstract (double? Ours, double? Stock) Errors();

    /// <summary>Runs before each sample, untimed: lets what the other side left behind end.</summary>
    public virtual void Settle() { }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the inputs.</summary>
    protected abstract void Dispose(bool disposing);
}

/// <summary>The pair of an op that is a function of tensors.</summary>
internal sealed class OpPair : BenchPair
{
    private readonly OpBench _bench;
    private readonly bool _backward;
    private readonly Tensor[] _leaves;
    private readonly Func<Tensor[]> _ours;
    private Tensor[]? _gradOutputs;

    public OpPair(OpBench bench, Direction direction)
    {
        _bench = bench;
        _backward = direction == Direction.ForwardBackward;
        // Null entries stand for absent arguments and are passed on.
        _leaves = Array.ConvertAll(bench.Inputs(), t => t?.DetachFromDisposeScope()!);
        for (int i = 0; i < _leaves.Length; i++)
        {
            _leaves[i]?.requires_grad_(_backward && Differentiable(i));
        }
        _ours = !_backward && bench.OursPrepared is { } prepare ? prepare(_leaves) : () => bench.Ours(_leaves);
    }

    /// <summary>Those of the gradients that timed calls are given.</summary>
    internal IEnumerable<ScalarType> GradientDTypes => (_gradOutputs ?? []).Select(g => g.dtype);

    public override Tensor[] Ours() => Call(_ours, _leaves);

    public override Tensor[] Stock() => Call(() => _bench.Stock(_leaves), _leaves);

    public override (double? Ours, double? Stock) Errors()
    {
        using var scope = NewDisposeScope();
        // First, so that the gradients of the outputs are made in the case's dtype: in another, the engine would cast them in every call.
        var ours = Ours();
        var exact = Array.ConvertAll(_leaves, t => t is null ? null! : t.is_floating_point() ? t.detach().to(float64).requires_grad_(t.requires_grad) : t);
        var reference = Call(() => _bench.Stock(exact), exact);
        return (RelativeError.Worst(ours, reference), RelativeError.Worst(Stock(), reference));
    }

    protected override void Dispose(bool disposing)
    {
        Array.ForEach(_leaves, t => t?.Dispose());
        Array.ForEach(_gradOutputs ?? [], t => t.Dispose());
    }

    private bool Differentiable(int i) => _bench.Differentiable?[i] ?? _leaves[i].is_floating_point();

    private Tensor[] Call(Func<Tensor[]> op, Tensor[] leaves)
    {
        if (!_backward)
        {
            using var noGrad = no_grad();
            return op();
        }
        var outputs = op();
        var differentiable = Array.FindAll(outputs, o => o.requires_grad);
        autograd.backward(differentiable, GradOutputs(differentiable));
        var gradients = new List<Tensor>(leaves.Length);
        foreach (var leaf in leaves)
        {
            if (leaf?.grad is { } gradient)
            {
                gradients.Add(gradient);
                // As zero_grad(set_to_none): the next pass hands its gradient over instead of adding to this one.
                leaf.grad = null;
            }
        }
        return [.. outputs, .. gradients];
    }

    private Tensor[] GradOutputs(Tensor[] outputs)
    {
        _gradOutputs ??= Array.ConvertAll(outputs, o => Inputs.Normal(o.dtype, o.shape).DetachFromDisposeScope());
        return [.. _gradOutputs.Zip(outputs, (g, o) => g.dtype == o.dtype ? g : g.to(o.dtype))];
    }
}
