using System.Globalization;
using System.Threading.Channels;

namespace SailVit.Model.Data;

/// <summary>Reads, encodes and packs samples on other threads, and hands out batches in an order that the seed alone decides.</summary>
/// <remarks>
/// The sources stay the caller's. Not thread-safe: one consumer. What goes wrong on another thread is thrown by
/// <see cref="Next"/> in its place; unusable samples are counted in <see cref="Skips"/>.
/// </remarks>
public sealed class PackedLoader : IDisposable
{
    private readonly Mixture _mixture;
    private readonly PackingOptions _options;
    private readonly BatchRenderer _renderer;
    private readonly Lane[] _lanes;
    private readonly LaneState[] _laneStates;
    private readonly string _data;
    private readonly Channel<Work> _channel;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _producer;
    private long _turn, _samples;

    /// <summary>Starts to make batches.</summary>
    /// <param name="sources">What is mixed.</param>
    /// <param name="encoder">How a sample becomes tokens and tiles.</param>
    /// <param name="options">Order, budgets and threads.</param>
    /// <param name="state">Where an earlier loader stood, to go on there.</param>
    /// <exception cref="ArgumentException">Sources or options make no sense.</exception>
    /// <exception cref="DatasetException">The state belongs to other data or options.</exception>
    public PackedLoader(IReadOnlyList<WeightedSource> sources, SampleEncoder encoder, PackingOptions options, LoaderState? state = null)
    {
        ArgumentNullException.ThrowIfNull(sources);
        ArgumentNullException.ThrowIfNull(encoder);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _mixture = new Mixture(sources, options.Shuffle, options.Seed);
        _renderer = new BatchRenderer(encoder.Split, options.Weighting, options.Workers);
        _data = Describe(sources, encoder, options);
        Check(state);
        _lanes = [.. Enumerable.Range(0, options.Lanes / options.Replicas).Select(LaneNumber)
            .Select((lane, i) => new Lane(_mixture, encoder, options, lane, state?.Lanes[i]))];
        _laneStates = [.. _lanes.Select(lane => lane.State)];
        (_turn, _samples) = (state?.Turn ?? 0, state?.Samples ?? 0);
        Report(state, sources);
        _channel = Channel.CreateBounded<Work>(new BoundedChannelOptions(options.Prefetch) { SingleReader = true, SingleWriter = true });
        _producer = Task.Factory.StartNew(Produce, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Samples of all sources together.</summary>
    public long SamplesPerEpoch => _mixture.SamplesPerEpoch;

    /// <summary>Samples that could not be used, up to the last batch.</summary>
    public SkipLog Skips { get; } = new();

    /// <summary>Where this loader stands after the last batch that it gave.</summary>
    public LoaderState State => new(_data, [.. _laneStates], _turn, _samples, Skips.Reasons.ToDictionary());

    /// <summary>The next batch, which is then the caller's; null at the end of the stream.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled; nothing is lost.</exception>
    /// <exception cref="DatasetException">No sample can be used.</exception>
    public PackedBatch? Next(CancellationToken cancel = default)
    {
        ObjectDisposedException.ThrowIf(_stop.IsCancellationRequested, this);
        while (Wait(cancel) && _channel.Reader.TryPeek(out var work))
        {
            var (batch, skips) = work.Rendered.WaitAsync(cancel).GetAwaiter().GetResult();
            _channel.Reader.TryRead(out _);
            foreach (var skip in work.Pack.Skips.Concat(skips))
            {
                Skips.Add(skip);
            }
            _laneStates[work.Lane] = work.Pack.After;
            _turn = work.Turn + 1;
            _samples += batch?.Samples ?? 0;
            if (batch is not null)
            {
                return batch;
            }
        }
        return null;
    }

    /// <summary>Stops the threads and frees batches that nobody took.</summary>
    public void Dispose()
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }
        _stop.Cancel();
        while (Finished(_channel.Reader.WaitToReadAsync().AsTask()) && _channel.Reader.TryRead(out var work))
        {
            Discard(work.Rendered);
        }
        _producer.Wait();
        _stop.Dispose();
    }

    private int LaneNumber(int i) => _options.Rank + (i * _options.Replicas);

    private bool Wait(CancellationToken cancel) => _channel.Reader.WaitToReadAsync(cancel).AsTask().GetAwaiter().GetResult();

    private static void Discard(Task<(PackedBatch? Batch, IReadOnlyList<Skip> Skips)> rendered) => Finished(rendered.ContinueWith(done =>
    {
        done.Result.Batch?.Dispose();
        return true;
    }, CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default));

    // False also where the wait ended in an error, which nobody is left to hear.
    private static bool Finished(Task<bool> task)
    {
        try
        {
            return task.GetAwaiter().GetResult();
        }
#pragma warning disable CA1031
        catch (Exception)
#pragma warning restore CA1031
        {
            return false;
        }
    }

    private void Produce()
    {
        try
        {
            var open = Enumerable.Range(0, _lanes.Length).ToHashSet();
            for (long turn = _turn; open.Count > 0; turn++)
            {
                int lane = (int)(turn % _lanes.Length);
                if (!open.Contains(lane))
                {
                    continue;
                }
                if (_lanes[lane].Next(_stop.Token) is not { } pack)
                {
                    open.Remove(lane);
                    continue;
                }
                Send(new Work(turn, lane, pack, Task.Run(() => _renderer.Render(pack.Samples, _stop.Token))));
            }
            _channel.Writer.Complete();
        }
#pragma warning disable CA1031 // Whatever it is, the consumer must hear of it.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _channel.Writer.Complete(e is AggregateException { InnerExceptions: [var first, ..] } ? first : e);
        }
    }

    private void Send(Work work)
    {
        try
        {
            _channel.Writer.WriteAsync(work, _stop.Token).AsTask().GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            Discard(work.Rendered);
            throw;
        }
    }

    private void Check(LoaderState? state)
    {
        if (state is null)
        {
            return;
        }
        if (state.Data != _data)
        {
            throw new DatasetException($"the saved state belongs to other data: it was '{state.Data}' and is '{_data}'. Restore the data and options, or begin anew without the state.");
        }
        if (!state.Lanes.Select(lane => lane.Lane).SequenceEqual(Enumerable.Range(0, _options.Lanes / _options.Replicas).Select(LaneNumber)) || state.Lanes.Any(lane => lane.Drawn.Count != _mixture.Sources || lane.Position < 0
            || lane.Drawn.Any(n => n < 0) || lane.Buffer.Any(draw => draw.Source < 0 || draw.Source >= _mixture.Sources || draw.Ordinal < 0)))
        {
            throw new DatasetException("the saved state is damaged: its lanes do not fit the data. Begin anew without it.");
        }
    }

    private void Report(LoaderState? state, IReadOnlyList<WeightedSource> sources)
    {
        if (state is not null)
        {
            Skips.Restore(state.Skipped);
            return;
        }
        // Every process sees it; it is counted once.
        foreach (var damage in _options.Rank > 0 ? [] : sources.SelectMany(s => s.Source.Damage))
        {
            Skips.Add(damage);
        }
    }

    // All that decides which samples make up a batch.
    private static string Describe(IReadOnlyList<WeightedSource> sources, SampleEncoder encoder, PackingOptions options) => string.Create(CultureInfo.InvariantCulture,
        $"seed {options.Seed}, shuffle {options.Shuffle}, {options.Lanes} lanes, {options.MaxTokens} tokens, of a sample {options.MaxSampleTokens}, {options.MaxTiles} tiles, buffer {options.BufferSize}, overflow {options.Overflow}, {encoder.Split}; {string.Join("; ", sources.Select(s => string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(s.Source.Name)} {s.Source.Count} × {s.Weight}")))}");

    private sealed record Work(long Turn, int Lane, Pack Pack, Task<(PackedBatch? Batch, IReadOnlyList<Skip> Skips)> Rendered);
}
