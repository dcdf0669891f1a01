using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Where a tensor's heads lie, and which layouts are made of them. Flags are 0 or 1.</summary>
internal struct PackScalars
{
    public long Batch;
    public long Row;
    public long Head;
    public long Column;
    public long Units;

    /// <summary>Heads of a unit: 1 for keys and values.</summary>
    public long Group;
    public long Width;
    public int OfKeys;
    public int WantsTokens;
    public int WantsChannels;

    /// <summary>1 or −1.</summary>
    public float Sign;
}

/// <summary>Makes float32 strips of 32 columns of heads that lie anywhere, padded with zeros: a work-group per strip of tokens.</summary>
/// <remarks>Two layouts, for the two sides of a product: by tokens [strip of tokens, D, 32], and by channels
/// [head][strip of channels, tokens, 32]. Both products and sums then read adjacent numbers, without a condition.</remarks>
internal static class AttentionPack<T, L>
    where T : unmanaged, IPortableElement<T>
    where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;

    /// <summary>One per dtype and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<T> from, ArrayView<AttentionUnit> units, ArrayView<float> tokens, ArrayView<float> channels, PackScalars a)
    {
        bool keys = a.OfKeys != 0;
        var p = keys ? StripPlace.OfKeys(units, a.Units, Grid.IdxX) : StripPlace.OfQueries(units, a.Units, a.Group, Grid.IdxX);
        long count = keys ? p.Unit.Keys : p.Unit.Queries, first = keys ? p.Unit.FirstKey : p.Unit.FirstQuery;
        long rows = Math.Min(Strip, count - p.First);
        long at = (p.Unit.Batch * a.Batch) + ((first + p.First) * a.Row) + (((p.Unit.KvHead * a.Group) + p.Head) * a.Head);
        if (a.WantsTokens != 0)
        {
            Tokens(from, at, rows, tokens, p.Index * a.Width * Strip, a);
        }
        if (a.WantsChannels != 0)
        {
            Channels(from, at, rows, channels, p, a);
        }
    }

    private static void Tokens(ArrayView<T> from, long at, long rows, ArrayView<float> to, long start, PackScalars a)
    {
        for (long d = 0; d < a.Width; d++)
        {
            long target = start + (d * Strip), source = at + (d * a.Column);
            for (long j = Group.IdxX; j < rows; j += L.Count)
            {
                to[target + j] = T.Read(from[source + (j * a.Row)]) * a.Sign;
            }
            for (long j = rows + Group.IdxX; j < Strip; j += L.Count)
            {
                to[target + j] = 0;
            }
        }
    }

    private static void Channels(ArrayView<T> from, long at, long rows, ArrayView<float> to, StripPlace p, PackScalars a)
    {
        for (long c = 0; c < a.Width; c += Strip)
        {
            long start = StripProduct.ChannelsAt(p, a.Width) + (c / Strip * StripProduct.ChannelStep(p)) + (p.First * Strip);
            long columns = Math.Min(Strip, a.Width - c);
            for (long i = 0; i < rows; i++)
            {
                long target = start + (i * Strip), source = at + (i * a.Row) + (c * a.Column);
                for (long j = Group.IdxX; j < columns; j += L.Count)
                {
                    to[target + j] = T.Read(from[source + (j * a.Column)]) * a.Sign;
                }
                for (long j = columns + Group.IdxX; j < Strip; j += L.Count)
                {
                    to[target + j] = 0;
                }
            }
            for (long i = (rows * Strip) + Group.IdxX; i < Strip * Strip; i += L.Count)
            {
                to[start + i] = 0;
            }
        }
    }
}
