using System.Text.Json;

namespace SailVit.Model.Data;

/// <summary>Where a <see cref="PackedLoader"/> stands; a loader made with it goes on exactly there.</summary>
/// <param name="Data">What the loader was made of; another one refuses this state.</param>
/// <param name="Lanes">Where each lane of this process stands.</param>
/// <param name="Turn">Turns of the lanes so far; decides which comes next.</param>
/// <param name="Samples">Samples given so far.</param>
/// <param name="Skipped">Samples skipped so far, by reason.</param>
public sealed record LoaderState(string Data, IReadOnlyList<LaneState> Lanes, long Turn, long Samples, IReadOnlyDictionary<SkipReason, SkippedSamples> Skipped)
{
    /// <summary>The state as JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this);

    /// <summary>The part of one process in what all stood at together.</summary>
    /// <param name="states">Of all processes that shared the lanes, in the order of their ranks.</param>
    /// <param name="rank">This process.</param>
    /// <param name="replicas">How many share the lanes from now on. Of another number than before, lanes go on where they
    /// stood, the first of them first.</param>
    /// <exception cref="DatasetException">The states are not those of one run.</exception>
    public static LoaderState Share(IReadOnlyList<LoaderState> states, int rank, int replicas)
    {
        ArgumentNullException.ThrowIfNull(states);
        if (states.Count == 0 || states.Any(s => s.Data != states[0].Data))
        {
            throw new DatasetException("the states of the data belong to different runs; begin anew without them.");
        }
        if (states.Count == replicas)
        {
            return states[rank];
        }
        var lanes = states.SelectMany(s => s.Lanes).Where(lane => lane.Lane % replicas == rank).OrderBy(lane => lane.Lane);
        // Counted once over all processes.
        var counts = rank == 0 ? states : [];
        return new(states[0].Data, [.. lanes], 0, counts.Sum(s => s.Samples),
            counts.SelectMany(s => s.Skipped).GroupBy(s => s.Key).ToDictionary(s => s.Key, s => new SkippedSamples(s.Sum(one => one.Value.Count), s.First().Value.First)));
    }

    /// <summary>Reads a state.</summary>
    /// <exception cref="DatasetException">The text is no state.</exception>
    public static LoaderState FromJson(string json)
    {
        try
        {
            var state = JsonSerializer.Deserialize<LoaderState>(json);
            return state is { Data: not null, Lanes: not null, Skipped: not null } && state.Lanes.All(lane => lane is { Buffer: not null, Drawn: not null }) && state.Skipped.Values.All(skipped => skipped is { First: not null }) ? state
                : throw new DatasetException("the state of the data is incomplete.");
        }
        catch (Exception e) when (e is JsonException or ArgumentNullException)
        {
            throw new DatasetException($"the state of the data is no valid JSON: {e.Message}", e);
        }
    }
}
