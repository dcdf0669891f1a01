using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Strides in elements; channels are adjacent in both.</summary>
internal struct KvCacheScalars
{
    public long Row;
    public long Head;
    public long CacheHead;
    public long Heads;
    public long Width;
}

/// <summary>Copies new keys or values to their places in a cache on a device: a work-group per token and head.</summary>
internal static class KvCachePortable<T, L>
    where T : unmanaged
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <param name="rows">By its strides.</param>
    /// <param name="places">Where the row of each token begins in the cache.</param>
    /// <param name="cache">By its strides.</param>
    /// <param name="a">Scalars.</param>
    private static void Run(ArrayView<T> rows, ArrayView<long> places, ArrayView<T> cache, KvCacheScalars a)
    {
        long token = Grid.IdxX / a.Heads, head = Grid.IdxX % a.Heads;
        long from = (token * a.Row) + (head * a.Head), to = places[token] + (head * a.CacheHead);
        for (long d = Group.IdxX; d < a.Width; d += L.Count)
        {
            cache[to + d] = rows[from + d];
        }
    }
}
