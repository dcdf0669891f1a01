namespace SailVit.Model.Data;

/// <summary>The samples of one batch, not rendered yet.</summary>
/// <param name="Samples">In the order in which they are laid.</param>
/// <param name="Skips">Samples that were drawn for it and could not be used.</param>
/// <param name="After">The lane once this batch is taken.</param>
internal sealed record Pack(IReadOnlyList<EncodedSample> Samples, IReadOnlyList<Skip> Skips, LaneState After);

/// <summary>Where a lane stands; JSON-serialisable.</summary>
/// <param name="Lane">Its number.</param>
/// <param name="Position">The place in the stream that it looks at next.</param>
/// <param name="Drawn">For each source, how many samples all lanes together drew from it before that place.</param>
/// <param name="Buffer">Samples that it has drawn and not laid into a batch.</param>
public sealed record LaneState(int Lane, long Position, IReadOnlyList<long> Drawn, IReadOnlyList<Draw> Buffer);

/// <summary>Every n-th sample of a mixture, packed into batches.</summary>
internal sealed class Lane
{
    // Of samples of which none can be used, before the data is called unusable.
    private const int Patience = 10_000;

    private readonly Mixture _mixture;
    private readonly SampleEncoder _encoder;
    private readonly PackingOptions _options;
    private readonly int _number;
    private readonly List<EncodedSample> _buffer = [];
    private readonly long[] _drawn;
    private IReadOnlyList<Draw> _restore;
    private long _position;
    private int _unusable;

    public Lane(Mixture mixture, SampleEncoder encoder, PackingOptions options, int number, LaneState? state)
    {
        (_mixture, _encoder, _options, _number) = (mixture, encoder, options, number);
        _drawn = state is null ? new long[mixture.Sources] : [.. state.Drawn];
        _position = state?.Position ?? 0;
        _restore = state?.Buffer ?? [];
    }

    /// <summary>Where it stands before the first batch.</summary>
    public LaneState State => new(_number, _position, [.. _drawn], _buffer.Count > 0 ? [.. _buffer.Select(s => s.Draw)] : _restore);

    /// <summary>The next batch; null at the end of the stream.</summary>
    /// <exception cref="DatasetException">No sample can be used.</exception>
    public Pack? Next(CancellationToken cancel)
    {
        var skips = new List<Skip>();
        Encode(_restore, skips, cancel);
        _restore = [];
        while (_buffer.Count < _options.BufferSize && Draws(_options.BufferSize - _buffer.Count) is { Count: > 0 } draws)
        {
            Encode(draws, skips, cancel);
        }
        var pack = Packer.Take(_buffer, _options.MaxTokens, _options.MaxTiles);
        return pack.Count > 0 || skips.Count > 0 ? new Pack(pack, skips, State) : null;
    }

    private List<Draw> Draws(int count)
    {
        var draws = new List<Draw>(count);
        for (; draws.Count < count && !(_position >= _options.Samples); _position++)
        {
            int source = _mixture.SourceAt(_position);
            if (_position % _options.Lanes == _number)
            {
                draws.Add(new Draw(_position, source, _drawn[source]));
            }
            _drawn[source]++;
        }
        return draws;
    }

    // On several threads, but in order: what comes out does not depend on who is first.
    private void Encode(IReadOnlyList<Draw> draws, List<Skip> skips, CancellationToken cancel)
    {
        var results = new object[draws.Count];
        Parallel.For(0, draws.Count, new ParallelOptions { MaxDegreeOfParallelism = _options.Workers, CancellationToken = cancel }, i =>
        {
            try
            {
                results[i] = _encoder.Encode(_mixture.Read(draws[i]), draws[i], _options);
            }
            catch (SampleException e)
            {
                results[i] = new Skip(e.Reason, e.Message);
            }
        });
        foreach (object result in results)
        {
            if (result is EncodedSample sample)
            {
                _buffer.Add(sample);
                _unusable = 0;
                continue;
            }
            skips.Add((Skip)result);
            if (++_unusable >= Math.Min(Patience, Math.Max(_mixture.SamplesPerEpoch, _options.BufferSize)))
            {
                throw new DatasetException($"none of {_unusable:N0} samples one after the other can be used; the last: {skips[^1].Message}");
            }
        }
    }
}
