namespace SailVit.Model.Data;

/// <summary>Counts samples that were not used, by reason, and names the first of each.</summary>
public sealed class SkipLog
{
    private const int Named = 5, MostShown = 500;

    private readonly SortedDictionary<SkipReason, SkippedSamples> _reasons = [];

    /// <summary>How many of each reason, and the first few of them.</summary>
    public IReadOnlyDictionary<SkipReason, SkippedSamples> Reasons => _reasons;

    /// <summary>How many in all.</summary>
    public long Total => _reasons.Values.Sum(skipped => skipped.Count);

    /// <summary>Counts one.</summary>
    public void Add(Skip skip)
    {
        ArgumentNullException.ThrowIfNull(skip);
        var before = _reasons.GetValueOrDefault(skip.Reason) ?? new(0, []);
        _reasons[skip.Reason] = new(before.Count + 1, before.First.Count < Named ? [.. before.First, Line(skip.Message)] : before.First);
    }

    /// <summary>One line for each reason, and the first few samples below it; empty where none was skipped.</summary>
    public override string ToString() => string.Join('\n', _reasons.SelectMany(reason => reason.Value.First.Select(message => $"  {message}").Prepend($"{reason.Key}: {reason.Value.Count:N0} skipped")));

    internal void Restore(IReadOnlyDictionary<SkipReason, SkippedSamples> reasons)
    {
        foreach (var (reason, skipped) in reasons)
        {
            _reasons[reason] = skipped;
        }
    }

    // A name in the data may hold line breaks, a terminal's commands, or a book.
    private static string Line(string message)
    {
        string line = string.Concat(message.Select(c => char.IsControl(c) ? '?' : c));
        return line.Length <= MostShown ? line : string.Concat(line.AsSpan(0, MostShown), "…");
    }
}

/// <summary>Samples that were not used for one reason.</summary>
/// <param name="Count">How many.</param>
/// <param name="First">The first few: which, and what is wrong with them.</param>
public sealed record SkippedSamples(long Count, IReadOnlyList<string> First);
