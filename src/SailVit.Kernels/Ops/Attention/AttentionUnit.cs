using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>A work-item per row of a strip, for GPUs. None waits for another.</summary>
internal readonly struct StripLanes : ILanes
{
    public static int Count => AttentionUnit.Strip;
}

/// <summary>One key head of one sequence and the query heads that share it, as a device's kernels read it.</summary>
internal struct AttentionUnit
{
    /// <summary>Tokens of a strip: what a work-group has of queries or keys.</summary>
    public const int Strip = RowTile.Columns;

    public long Batch;
    public long KvHead;
    public long FirstQuery;
    public long Queries;
    public long FirstKey;
    public long Keys;
    public long KeysBefore;

    /// <summary>Strips of queries of the units before this one, all heads.</summary>
    public long QueryStrips;

    /// <summary>Strips of keys of the units before this one.</summary>
    public long KeyStrips;

    public static long StripsOf(long tokens) => (tokens + Strip - 1) / Strip;
}

/// <summary>Which strip of which head a work-group has.</summary>
internal readonly struct StripPlace(AttentionUnit unit, long index, long head, long strip, long strips)
{
    public readonly AttentionUnit Unit = unit;

    /// <summary>Among the strips of all units.</summary>
    public readonly long Index = index;

    /// <summary>Query head among those of the unit.</summary>
    public readonly long Head = head;

    /// <summary>Among the strips of the head.</summary>
    public readonly long Strip = strip;

    /// <summary>Strips of the head.</summary>
    public readonly long Strips = strips;

    /// <summary>First token, counted from the sequence's first.</summary>
    public long First => Strip * AttentionUnit.Strip;

    /// <summary>Where the head's first strip lies among those of all units.</summary>
    public long HeadIndex => Index - Strip;

    public static StripPlace OfQueries(ArrayView<AttentionUnit> units, long count, long group, long index)
    {
        long low = 0, high = count - 1;
        while (low < high)
        {
            long middle = (low + high + 1) / 2;
            if (units[middle].QueryStrips <= index)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }
        var unit = units[low];
        long strips = AttentionUnit.StripsOf(unit.Queries), within = index - unit.QueryStrips;
        return new(unit, index, within / strips, within % strips, strips);
    }

    public static StripPlace OfKeys(ArrayView<AttentionUnit> units, long count, long index)
    {
        long low = 0, high = count - 1;
        while (low < high)
        {
            long middle = (low + high + 1) / 2;
            if (units[middle].KeyStrips <= index)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }
        var unit = units[low];
        return new(unit, index, 0, index - unit.KeyStrips, AttentionUnit.StripsOf(unit.Keys));
    }
}
