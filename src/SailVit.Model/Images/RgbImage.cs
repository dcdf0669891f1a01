using System.Numerics;
using System.Runtime.InteropServices;

namespace SailVit.Model.Images;

/// <summary>An image in memory, 8 bits per colour.</summary>
/// <remarks>Four bytes per pixel, R, G, B and one unused, so that a pixel is one 32-bit load.</remarks>
public sealed class RgbImage
{
    /// <summary>Bytes per pixel.</summary>
    public const int Stride = 4;

    /// <summary>Creates an image whose pixels are still to be set.</summary>
    /// <exception cref="ArgumentException">A side is not positive, or there are more pixels than <see cref="ImageDecoder.MaxPixels"/>.</exception>
    public RgbImage(int width, int height)
    {
        if (width <= 0 || height <= 0 || (long)width * height > ImageDecoder.MaxPixels)
        {
            throw new ArgumentException($"An image of {width} × {height} px cannot be made; sides must be at least 1 and pixels at most {ImageDecoder.MaxPixels:N0}.");
        }
        Width = width;
        Height = height;
        Data = GC.AllocateUninitializedArray<byte>(width * height * Stride);
    }

    /// <summary>Columns.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>All pixels, row by row, <see cref="Stride"/> bytes each.</summary>
    internal byte[] Data { get; }

    /// <summary>The colour at a place.</summary>
    public (byte R, byte G, byte B) this[int x, int y]
    {
        get
        {
            var pixel = Row(y).Slice(checked(x * Stride), Stride);
            return (pixel[0], pixel[1], pixel[2]);
        }
        set
        {
            var pixel = Row(y).Slice(checked(x * Stride), Stride);
            (pixel[0], pixel[1], pixel[2], pixel[3]) = (value.R, value.G, value.B, 255);
        }
    }

    /// <summary>One row of pixels.</summary>
    public Span<byte> Row(int y) => Data.AsSpan(checked(y * Width * Stride), Width * Stride);

    /// <summary>A copy of a rectangle.</summary>
    public RgbImage Crop(int left, int top, int width, int height)
    {
        var crop = new RgbImage(width, height);
        for (int y = 0; y < height; y++)
        {
            Row(top + y).Slice(left * Stride, width * Stride).CopyTo(crop.Row(y));
        }
        return crop;
    }

    /// <summary>The pixels as planes of red, green and blue, [3, H, W].</summary>
    internal void CopyPlanes(Span<byte> planes)
    {
        int count = Width * Height;
        var pixels = Pixels();
        for (int channel = 0; channel < 3; channel++)
        {
            var plane = planes.Slice(channel * count, count);
            int shift = 8 * channel, i = 0;
            for (; i <= count - Vector<byte>.Count; i += Vector<byte>.Count)
            {
                Vector.Narrow(Two(pixels[i..], shift), Two(pixels[(i + Vector<ushort>.Count)..], shift)).CopyTo(plane[i..]);
            }
            for (; i < count; i++)
            {
                plane[i] = (byte)(pixels[i] >> shift);
            }
        }
    }

    private static Vector<ushort> Two(ReadOnlySpan<uint> pixels, int shift) => Vector.Narrow(One(pixels, shift), One(pixels[Vector<uint>.Count..], shift));

    private static Vector<uint> One(ReadOnlySpan<uint> pixels, int shift) => (new Vector<uint>(pixels) >>> shift) & new Vector<uint>(0xFF);

    /// <summary>All pixels as 32-bit values.</summary>
    internal Span<uint> Pixels() => MemoryMarshal.Cast<byte, uint>(Data.AsSpan());
}
