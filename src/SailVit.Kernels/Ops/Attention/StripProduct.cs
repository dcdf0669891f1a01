using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Where strips lie in the layouts of <see cref="AttentionPack{T, L}"/>.</summary>
internal static class StripProduct
{
    private const int Strip = AttentionUnit.Strip;

    public static long Padded(long width) => (width + Strip - 1) / Strip * Strip;

    /// <summary>A head in the layout by channels.</summary>
    public static long ChannelsAt(StripPlace p, long width) => p.HeadIndex * Strip * Padded(width);

    /// <summary>From one strip of channels to the next.</summary>
    public static long ChannelStep(StripPlace p) => p.Strips * Strip * Strip;
}

/// <summary>Matrix products of a strip of rows by one work-item, or by one per row.</summary>
internal static class StripProduct<R, L>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Strip = AttentionUnit.Strip;

    /// <summary>Where the left side of a product lies: one work-item reads a row's channels one after the other, where many
    /// read the same channel of neighbouring rows.</summary>
    public static long RowsAt(StripPlace p, long width) =>
        L.Count == 1 ? StripProduct.ChannelsAt(p, width) + (p.First * Strip) : p.Index * width * Strip;

    /// <summary>rows · columns, [rows, D]·[D, 32]: scores of a strip.</summary>
    /// <param name="left">The rows.</param>
    /// <param name="leftAt">From <see cref="RowsAt"/>.</param>
    /// <param name="channelStep">From <see cref="StripProduct.ChannelStep"/>.</param>
    /// <param name="columns">By tokens.</param>
    /// <param name="columnsAt">First element of the strip.</param>
    /// <param name="width">D.</param>
    /// <param name="chain">Channels summed in one chain; divides 32.</param>
    /// <param name="rows">Rows that are there.</param>
    /// <param name="to">[32, step].</param>
    /// <param name="toAt">First column.</param>
    /// <param name="step">Row length of <paramref name="to"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply(
        ArrayView<float> left, long leftAt, long channelStep, ArrayView<float> columns, long columnsAt, long width, long chain, long rows,
        ArrayView<float> to, long toAt, long step)
    {
        for (long t = Group.IdxX * R.Count; t < rows; t += L.Count * R.Count)
        {
            var total = R.Zero;
            for (long c = 0; c < width; c += chain)
            {
                long at = L.Count == 1 ? leftAt + (c / Strip * channelStep) + (t * Strip) + (c % Strip) : leftAt + (c * Strip) + t;
                long from = columnsAt + (c * Strip), depth = Math.Min(chain, width - c);
                var part = R.Zero;
                for (long d = 0; d < depth; d++)
                {
                    part = R.Fma(left, at + (L.Count == 1 ? d : d * Strip), Strip, RowTile.Load(columns, from + (d * Strip), 0), part);
                }
                total = R.Add(total, part);
            }
            R.Store(to, (t * step) + toAt, step, total);
        }
    }

    /// <summary>sums = sums·factors + weights · values, [rows, count]·[count, D].</summary>
    /// <param name="weights">[32, step].</param>
    /// <param name="step">Row length of <paramref name="weights"/>.</param>
    /// <param name="values">By channels.</param>
    /// <param name="valuesAt">First token's element.</param>
    /// <param name="channelStep">From <see cref="StripProduct.ChannelStep"/>, of the values.</param>
    /// <param name="count">Tokens.</param>
    /// <param name="width">D.</param>
    /// <param name="rows">Rows that are there.</param>
    /// <param name="sums">[32, padded D].</param>
    /// <param name="sumsAt">First element.</param>
    /// <param name="factors">One per row; read where <paramref name="scales"/>.</param>
    /// <param name="scales">Whether sums are scaled first.</param>
    /// <param name="begins">Whether there are no sums yet.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Accumulate(
        ArrayView<float> weights, long step, ArrayView<float> values, long valuesAt, long channelStep, long count, long width, long rows,
        ArrayView<float> sums, long sumsAt, ArrayView<float> factors, bool scales, bool begins)
    {
        long padded = StripProduct.Padded(width);
        for (long c = 0; c < padded; c += Strip)
        {
            for (long t = Group.IdxX * R.Count; t < rows; t += L.Count * R.Count)
            {
                long at = sumsAt + (t * padded) + c, from = valuesAt + (c / Strip * channelStep);
                var total = begins ? R.Zero : R.Load(sums, at, padded);
                if (scales && !begins)
                {
                    total = R.Scale(total, factors, t);
                }
                for (long j = 0; j < count; j += Strip)
                {
                    long depth = Math.Min(Strip, count - j);
                    var part = R.Zero;
                    for (long i = 0; i < depth; i++)
                    {
                        part = R.Fma(weights, (t * step) + j + i, step, RowTile.Load(values, from + ((j + i) * Strip), 0), part);
                    }
                    total = R.Add(total, part);
                }
                R.Store(sums, at, padded, total);
            }
        }
    }
}
