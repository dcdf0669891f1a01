namespace SailVit.Model.Data;

/// <summary>Counts samples that were not used, by reason, and names the first of each.</summary>
public sealed class SkipLog
{
    private const int Named = 5;

    private readonly SortedDictionary<SkipReason, long> _counts = [];
    private readonly Dictionary<SkipReason, List<string>> _first = [];

    /// <summary>How many of each reason.</summary>
    public IReadOnlyDictionary<SkipReason, long> Counts => _counts;

    /// <summary>How many in all.</summary>
    public long Total => _counts.Values.Sum();

    /// <summary>The first few of a reason.</summary>
    public IReadOnlyList<string> First(SkipReason reason) => _first.GetValueOrDefault(reason, []);

    /// <summary>Counts one.</summary>
    public void Add(Skip skip)
    {
        ArgumentNullException.ThrowIfNull(skip);
        _counts[skip.Reason] = _counts.GetValueOrDefault(skip.Reason) + 1;
        if (!_first.TryGetValue(skip.Reason, out var list))
        {
            _first[skip.Reason] = list = [];
        }
        if (list.Count < Named)
        {
            list.Add(skip.Message);
        }
    }

    /// <summary>One line for each reason, and the first few samples below it; empty where none was skipped.</summary>
    public override string ToString() => string.Join('\n', _counts.SelectMany(count => First(count.Key).Select(message => $"  {message}").Prepend($"{count.Key}: {count.Value:N0} skipped")));

    internal void Restore(IReadOnlyDictionary<SkipReason, long> counts)
    {
        foreach (var (reason, count) in counts)
        {
            _counts[reason] = count;
        }
    }
}
