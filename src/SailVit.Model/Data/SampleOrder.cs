namespace SailVit.Model.Data;

/// <summary>The order in which an epoch visits the samples of a source.</summary>
/// <remarks>Where samples must be read in groups, the groups are shuffled, and the samples of a few that follow each other together.</remarks>
internal sealed class SampleOrder
{
    /// <summary>Groups whose samples are mixed, and so held in memory at once.</summary>
    public const int GroupsTogether = 4;

    private readonly bool _shuffle;
    private readonly ulong _seed;
    private readonly long[] _starts;
    private readonly int[] _groups;
    private readonly long[] _ends;

    public SampleOrder(IReadOnlyList<long> groups, bool shuffle, ulong seed)
    {
        _shuffle = shuffle;
        _seed = seed;
        _starts = new long[groups.Count];
        _groups = new int[groups.Count];
        _ends = new long[(groups.Count + GroupsTogether - 1) / GroupsTogether];
        var order = new Permutation(groups.Count, seed);
        long start = 0, end = 0;
        for (int i = 0; i < groups.Count; i++)
        {
            _starts[i] = start;
            start += groups[i];
            _groups[i] = shuffle ? (int)order[i] : i;
            end += groups[_groups[i]];
            _ends[i / GroupsTogether] = end;
        }
        Sizes = groups;
    }

    private IReadOnlyList<long> Sizes { get; }

    /// <summary>Which sample comes at a place of the epoch.</summary>
    public long this[long place]
    {
        get
        {
            if (!_shuffle)
            {
                return place;
            }
            int chunk = 0;
            while (place >= _ends[chunk])
            {
                chunk++;
            }
            long first = chunk == 0 ? 0 : _ends[chunk - 1];
            long at = new Permutation(_ends[chunk] - first, Permutation.Hash(_seed, (ulong)chunk))[place - first];
            int group = chunk * GroupsTogether;
            for (; at >= Sizes[_groups[group]]; group++)
            {
                at -= Sizes[_groups[group]];
            }
            return _starts[_groups[group]] + at;
        }
    }
}
