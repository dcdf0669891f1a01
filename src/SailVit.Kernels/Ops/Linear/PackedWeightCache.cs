using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>A layer's packed weight, for inference only, valid while the weights are the same and unchanged.</summary>
internal sealed class PackedWeightCache : IDisposable
{
    private readonly Lock _lock = new();
    private Entry? _current;

    public long Bytes => _current?.Packed.Bytes ?? 0;

    /// <summary>The packed weights (one, or gate and up), made again if a weight has changed, or if libtorch does not say
    /// whether it has (inference tensors). They stay until the lease ends, whatever other threads do to the cache.</summary>
    public Lease Rent(params ReadOnlySpan<Tensor> weights)
    {
        lock (_lock)
        {
            if (_current is null || !_current.Packed.IsCurrent(weights) || !TensorVersion.IsCounted(weights))
            {
                Retire();
                _current = new(weights.Length == 1 ? new(weights[0]) : new(weights[0], weights[1]));
            }
            _current.Users++;
            return new(this, _current);
        }
    }

    /// <summary>Frees the copy, as training does, whose peak memory must not carry it; the next <see cref="Rent"/> makes another.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            Retire();
        }
    }

    private void Retire()
    {
        if (_current is { Users: 0 })
        {
            _current.Packed.Dispose();
        }
        _current = null;
    }

    private void Return(Entry entry)
    {
        lock (_lock)
        {
            if (--entry.Users == 0 && entry != _current)
            {
                entry.Packed.Dispose();
            }
        }
    }

    /// <summary>A packed weight and how many calls use it.</summary>
    internal sealed class Entry(PackedWeight packed)
    {
        public PackedWeight Packed { get; } = packed;

        public int Users { get; set; }
    }

    /// <summary>Keeps the packed weight during a call.</summary>
    internal readonly ref struct Lease(PackedWeightCache cache, Entry entry)
    {
        public PackedWeight Weight => entry.Packed;

        public void Dispose() => cache.Return(entry);
    }
}
