using ILGPU;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>How many work-items share a row: a constant to the compiler.</summary>
internal interface ILanes
{
    static abstract int Count { get; }
}

/// <summary>One work-item per row, for processors: their compilers turn the loop over the row into vectors, but not a loop
/// over work-items with another loop inside.</summary>
internal readonly struct OneLane : ILanes
{
    public static int Count => 1;
}

/// <summary>A work-group per row, for GPUs: neighbours read neighbouring elements.</summary>
internal readonly struct ManyLanes : ILanes
{
    public static int Count => 128;
}

/// <summary>Sums and maxima over the lanes of a work-group.</summary>
internal static class Lanes
{
    /// <summary>A lane adds up this many terms by themselves: the error of a sum grows with its longest chain.</summary>
    public const int Block = 256;

    private const int Parts = 16;

    /// <summary>The largest of every lane's values, in each of them; NaN if one is. All lanes must call it.</summary>
    public static float Max<L>(float value) where L : unmanaged, ILanes
    {
        if (L.Count == 1)
        {
            return value;
        }
        var values = SharedMemory.Allocate<float>(L.Count);
        var parts = SharedMemory.Allocate<float>(Parts);
        int lane = Group.IdxX;
        values[lane] = value;
        Group.Barrier();
        if (lane < Parts)
        {
            float part = values[lane];
            for (int i = lane + Parts; i < L.Count; i += Parts)
            {
                part = PortableSimd.Max(part, values[i]);
            }
            parts[lane] = part;
        }
        Group.Barrier();
        float max = parts[0];
        for (int i = 1; i < Parts; i++)
        {
            max = PortableSimd.Max(max, parts[i]);
        }
        return max;
    }

    /// <summary>The sum of every lane's value, in each of them, always in the same order. All lanes must call it.</summary>
    /// <remarks>Two steps and no loop around a barrier, which PoCL takes ten seconds to compile.</remarks>
    public static float Sum<L>(float value) where L : unmanaged, ILanes
    {
        if (L.Count == 1)
        {
            return value;
        }
        var values = SharedMemory.Allocate<float>(L.Count);
        var parts = SharedMemory.Allocate<float>(Parts);
        int lane = Group.IdxX;
        values[lane] = value;
        Group.Barrier();
        if (lane < Parts)
        {
            float part = 0;
            for (int i = lane; i < L.Count; i += Parts)
            {
                part += values[i];
            }
            parts[lane] = part;
        }
        // When all are here, the next sum may use the values' memory; the parts' it touches after its own first barrier.
        Group.Barrier();
        // With what each addition loses: nothing averages the last roundings, and they are those of the whole row.
        float sum = 0, lost = 0;
        for (int i = 0; i < Parts; i++)
        {
            sum = Builtin.Add(sum, parts[i], ref lost);
        }
        return Builtin.Total(sum, lost);
    }
}
