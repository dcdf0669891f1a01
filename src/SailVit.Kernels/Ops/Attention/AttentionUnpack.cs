using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Where a tensor's heads lie, and what its elements are multiplied by. Its channels are adjacent.</summary>
internal struct UnpackScalars
{
    public long Batch;
    public long Row;
    public long Head;
    public long Units;
    public long Group;
    public long Width;
    public int OfKeys;
    public float Scale;
}

/// <summary>Stores sums [strip, 32, padded D] as heads that lie anywhere: a work-group per strip of tokens.</summary>
internal static class AttentionUnpack<T, L>
    where T : unmanaged, IPortableElement<T>
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<AttentionUnit> units, ArrayView<float> sums, ArrayView<T> to, UnpackScalars a)
    {
        bool keys = a.OfKeys != 0;
        var p = keys ? StripPlace.OfKeys(units, a.Units, Grid.IdxX) : StripPlace.OfQueries(units, a.Units, a.Group, Grid.IdxX);
        long count = keys ? p.Unit.Keys : p.Unit.Queries, first = keys ? p.Unit.FirstKey : p.Unit.FirstQuery;
        long rows = Math.Min(AttentionUnit.Strip, count - p.First), padded = StripProduct.Padded(a.Width);
        for (long r = 0; r < rows; r++)
        {
            long target = (p.Unit.Batch * a.Batch) + ((first + p.First + r) * a.Row) + (((p.Unit.KvHead * a.Group) + p.Head) * a.Head);
            long from = ((p.Index * AttentionUnit.Strip) + r) * padded;
            for (long d = Group.IdxX; d < a.Width; d += L.Count)
            {
                to[target + d] = T.Write(sums[from + d] * a.Scale);
            }
        }
    }
}
