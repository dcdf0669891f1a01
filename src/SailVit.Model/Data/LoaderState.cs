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
