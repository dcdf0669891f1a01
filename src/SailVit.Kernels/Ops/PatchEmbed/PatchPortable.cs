using ILGPU;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>Pixels read as one patch per row, as in <see cref="PatchGrid"/>. Strides are in elements.</summary>
internal struct PatchScalars
{
    public long BatchStride;
    public long ChannelStride;
    public long RowStride;
    public long ColumnStride;
    public long Channels;
    public long PatchHeight;
    public long PatchWidth;
    public long GridHeight;
    public long GridWidth;
}

/// <summary>Of one launch that packs patches.</summary>
internal struct PatchPackScalars
{
    public PackScalars Pack;
    public PatchScalars Patch;
}

/// <summary>Of one launch that scatters the pixels' gradient.</summary>
internal struct PixelScalars
{
    public ProductScalars Product;
    public PatchScalars Patch;
}

/// <summary>Place of a patch, counted on without a division per step.</summary>
internal struct PatchPlace
{
    private long _image;
    private long _y;
    private long _x;

    public static PatchPlace Of(long patch, PatchScalars s)
    {
        long row = patch / s.GridWidth;
        return new() { _image = row / s.GridHeight, _y = row % s.GridHeight, _x = patch % s.GridWidth };
    }

    /// <summary>Where the patch begins in the pixels.</summary>
    public readonly long At(PatchScalars s) => (_image * s.BatchStride) + (_y * s.PatchHeight * s.RowStride) + (_x * s.PatchWidth * s.ColumnStride);

    public void Next(PatchScalars s)
    {
        _x++;
        if (_x == s.GridWidth)
        {
            _x = 0;
            _y++;
        }
        if (_y == s.GridHeight)
        {
            _y = 0;
            _image++;
        }
    }
}

/// <summary>Place of a number inside its patch, in the order of a convolution's weight.</summary>
internal struct NumberPlace
{
    private long _y;
    private long _x;

    public long Channel;

    public static NumberPlace Of(long number, PatchScalars s)
    {
        long row = number / s.PatchWidth;
        return new() { Channel = row / s.PatchHeight, _y = row % s.PatchHeight, _x = number % s.PatchWidth };
    }

    /// <summary>Where the number lies, from where the patch begins.</summary>
    public readonly long At(PatchScalars s) => (Channel * s.ChannelStride) + (_y * s.RowStride) + (_x * s.ColumnStride);

    public void Next(PatchScalars s)
    {
        _x++;
        if (_x == s.PatchWidth)
        {
            _x = 0;
            _y++;
        }
        if (_y == s.PatchHeight)
        {
            _y = 0;
            Channel++;
        }
    }
}

/// <summary>Panels of patches as float32, gathered from the pixels and normalised. N: lines are the numbers of a patch, else patches.</summary>
internal static class PatchPortable<P, N, W, L>
    where P : unmanaged, IPortableElement<P>
    where N : unmanaged, IFlag
    where W : unmanaged, IPanel
    where L : unmanaged, ILanes
{
    /// <summary>One per dtype of pixels, side of the product, width and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    /// <summary>Channels: scale, shift and what float32 cannot hold of either, for each.</summary>
    private static void Run(ArrayView<P> pixels, ArrayView<float> channels, ArrayView<float> to, PatchPackScalars scalars)
    {
        var (s, p) = (scalars.Pack, scalars.Patch);
        long item = (Grid.IdxX * (long)L.Count) + Group.IdxX;
        // Neighbours have panels side by side, whose lines may share what a cache holds.
        long panel = item % s.Panels, chunk = item / s.Panels;
        if (chunk >= s.Chunks)
        {
            return;
        }
        long length = (s.Depth + s.Chunks - 1) / s.Chunks, first = chunk * length, stop = Math.Min(s.Depth, first + length);
        long put = panel * s.Depth * W.Width;
        for (int i = 0; i < W.Width; i++)
        {
            long line = (panel * W.Width) + i;
            if (line >= s.Lines)
            {
                for (long k = first; k < stop; k++)
                {
                    to[put + (k * W.Width) + i] = 0;
                }
                continue;
            }
            var patch = PatchPlace.Of(N.IsSet ? first : s.FirstLine + line, p);
            var number = NumberPlace.Of(N.IsSet ? s.FirstLine + line : first, p);
            for (long k = first; k < stop; k++)
            {
                to[put + (k * W.Width) + i] = Value(P.Read(pixels[patch.At(p) + number.At(p)]), channels, number.Channel * 4);
                if (N.IsSet)
                {
                    patch.Next(p);
                }
                else
                {
                    number.Next(p);
                }
            }
        }
    }

    // As PatchGrid has it: the rests would be common to all pixels of a channel, but make NaN of infinite ones.
    private static float Value(float pixel, ArrayView<float> channels, long at)
    {
        float value = Builtin.Fma(pixel, channels[at], channels[at + 2]);
        float rest = Builtin.Fma(pixel, channels[at + 1], channels[at + 3]);
        return MathF.Abs(pixel) < float.PositiveInfinity ? value + rest : value;
    }
}

/// <summary>The pixels' gradient, scale · sums, each number of each patch put back to its place: a work-item per tile.</summary>
internal static class PixelGradientPortable<T, R, L>
    where T : unmanaged, IPortableElement<T>
    where R : unmanaged, IRowTile<R>
    where L : unmanaged, ILanes
{
    private const int Width = RowTile.Columns;

    /// <summary>One per dtype of pixels, tile and number of lanes.</summary>
    public static readonly PortableKernel Kernel = new(Run, L.Count);

    private static void Run(ArrayView<float> a, ArrayView<Vector16> b, ArrayView<float> channels, ArrayView<T> pixels, PixelScalars scalars)
    {
        var (s, p) = (scalars.Product, scalars.Patch);
        long tile = (Grid.IdxX * (long)L.Count) + Group.IdxX;
        long column = ProductPortable<R>.Column(s, tile);
        int count = (int)Math.Min(Width, s.Columns - column);
        if (count <= 0)
        {
            return;
        }
        var values = LocalMemory.Allocate<float>(RowTile.Columns * R.Count);
        R.Store(values, 0, RowTile.Columns, ProductPortable<R>.Sum(a, b, s, tile));
        long first = ProductPortable<R>.Row(s, tile);
        int rows = (int)Math.Min(R.Count, s.Rows - first);
        for (int r = 0; r < rows; r++)
        {
            long patch = PatchPlace.Of(s.FirstRow + first + r, p).At(p);
            var number = NumberPlace.Of(s.FirstColumn + column, p);
            for (int i = 0; i < count; i++)
            {
                pixels[patch + number.At(p)] = T.Write(channels[number.Channel * 4] * values[(r * Width) + i]);
                number.Next(p);
            }
        }
    }
}
