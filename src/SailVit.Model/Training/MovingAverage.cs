using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Exponential moving average of master weights, float32.</summary>
/// <remarks>a ← d·a + (1 − d)·w with d = min(decay, (1 + t) / (10 + t)), so that the first weights are forgotten.
/// Source: Polyak and Juditsky 1992; the warm-up as in TensorFlow's ExponentialMovingAverage.</remarks>
public sealed class MovingAverage : IDisposable
{
    private readonly Dictionary<string, Tensor> _average;
    private readonly double _decay;

    /// <summary>Begins at the weights as they are.</summary>
    public MovingAverage(IReadOnlyDictionary<string, Tensor> weights, double decay)
    {
        ArgumentNullException.ThrowIfNull(weights);
        if (!(decay is > 0 and < 1))
        {
            throw new ArgumentException($"The decay of the moving average is {decay}; it must be between 0 and 1.", nameof(decay));
        }
        using var noGrad = no_grad();
        _decay = decay;
        _average = weights.ToDictionary(w => w.Key, w => w.Value.detach().clone().DetachFromDisposeScope());
    }

    /// <summary>The average by name.</summary>
    public IReadOnlyDictionary<string, Tensor> Weights => _average;

    /// <summary>Adds the weights of a step, counted from 1.</summary>
    public void Update(IReadOnlyDictionary<string, Tensor> weights, long step)
    {
        ArgumentNullException.ThrowIfNull(weights);
        using var noGrad = no_grad();
        double decay = Math.Min(_decay, (1.0 + step) / (10 + step));
        using Tensor share = 1 - decay;
        foreach (var (name, average) in _average)
        {
            average.lerp_(weights[name], share);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var average in _average.Values)
        {
            average.Dispose();
        }
    }
}
