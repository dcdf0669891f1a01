using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>A layer's packed weight, for inference only, valid while the weights are the same and unchanged.</summary>
internal sealed class PackedWeightCache : IDisposable
{
    private readonly Lock _lock = new();
    private PackedWeight? _packed;

    public long Bytes => _packed?.Bytes ?? 0;

    /// <summary>The packed weights (one, or gate and up), made again if a weight has changed.</summary>
    public PackedWeight Get(params ReadOnlySpan<Tensor> weights)
    {
        lock (_lock)
        {
            if (_packed is null || !_packed.IsCurrent(weights))
            {
                _packed?.Dispose();
                _packed = weights.Length == 1 ? new(weights[0]) : new(weights[0], weights[1]);
            }
            return _packed;
        }
    }

    /// <summary>Frees the copy, as training does, whose peak memory must not carry it; the next <see cref="Get"/> makes another.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _packed?.Dispose();
            _packed = null;
        }
    }
}
