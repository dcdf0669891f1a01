namespace SailVit.Model.Data;

/// <summary>A source and its share in a mixture.</summary>
/// <param name="Source">The samples.</param>
/// <param name="Weight">Its share, relative to the others'; by default the number of its samples, so that all are seen equally often.</param>
public sealed record WeightedSource(ISampleSource Source, double? Weight = null);

/// <summary>One sample of the endless stream that a mixture is.</summary>
/// <param name="Position">Its place in the stream.</param>
/// <param name="Source">Which source it is drawn from.</param>
/// <param name="Ordinal">How many were drawn from that source before.</param>
public readonly record struct Draw(long Position, int Source, long Ordinal);

/// <summary>An endless stream drawn from several sources; what comes at a place depends on the seed alone.</summary>
internal sealed class Mixture
{
    private readonly ISampleSource[] _sources;
    private readonly double[] _cumulated;
    private readonly ulong _seed;
    private readonly bool _shuffle;
    private readonly (long Epoch, SampleOrder Order)[] _orders;

    /// <exception cref="ArgumentException">There is no source, or a weight is not positive.</exception>
    public Mixture(IReadOnlyList<WeightedSource> sources, bool shuffle, ulong seed)
    {
        if (sources.Count == 0 || sources.Any(s => s.Weight is not null && !(s.Weight > 0 && double.IsFinite(s.Weight.Value))))
        {
            throw new ArgumentException($"sources have the weights [{string.Join(", ", sources.Select(s => s.Weight))}]; there must be at least one source, and every weight positive.", nameof(sources));
        }
        _sources = [.. sources.Select(s => s.Source)];
        double total = 0;
        _cumulated = [.. sources.Select(s => total += s.Weight ?? s.Source.Count)];
        if (!double.IsFinite(total))
        {
            throw new ArgumentException($"the weights of the sources add up to {total}; their sum must be finite.", nameof(sources));
        }
        _seed = seed;
        _shuffle = shuffle;
        _orders = [.. _sources.Select((s, i) => (0L, Order(i, 0)))];
    }

    /// <summary>Samples of all sources together.</summary>
    public long SamplesPerEpoch => _sources.Sum(s => s.Count);

    public int Sources => _sources.Length;

    /// <summary>Which source gives the sample at a place.</summary>
    public int SourceAt(long position)
    {
        if (_sources.Length == 1)
        {
            return 0;
        }
        // 53 bits of a hash as a number in [0, 1).
        double at = (Permutation.Hash(_seed, (ulong)position) >> 11) * (1.0 / (1L << 53)) * _cumulated[^1];
        int source = 0;
        while (source < _cumulated.Length - 1 && at >= _cumulated[source])
        {
            source++;
        }
        return source;
    }

    /// <summary>Reads the sample of a draw.</summary>
    /// <exception cref="SampleException">It cannot be used.</exception>
    public ConversationSample Read(Draw draw)
    {
        var source = _sources[draw.Source];
        return source.Read(OrderOf(draw.Source, draw.Ordinal / source.Count)[draw.Ordinal % source.Count]);
    }

    private SampleOrder OrderOf(int source, long epoch)
    {
        lock (_orders)
        {
            if (_orders[source].Epoch != epoch)
            {
                _orders[source] = (epoch, Order(source, epoch));
            }
            return _orders[source].Order;
        }
    }

    private SampleOrder Order(int source, long epoch) => new(_sources[source].Groups, _shuffle, Permutation.Hash(_seed, (ulong)source, (ulong)epoch));
}
