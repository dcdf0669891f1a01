using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using SkiaSharp;

namespace SailVit.Model.Tests.Images;

/// <summary>Small image files: by SkiaSharp where it can write the format, by hand where it cannot.</summary>
internal static class EncodedImages
{
    public const byte Grey = 0, Rgb = 2, Palette = 3, Rgba = 6;

    /// <summary>An opaque image whose colour is a function of the place.</summary>
    public static byte[] Skia(int width, int height, SKEncodedImageFormat format, Func<int, int, SKColor> color, int quality = 100)
    {
        using var bitmap = new SKBitmap(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Unpremul));
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                bitmap.SetPixel(x, y, color(x, y));
            }
        }
        using var data = bitmap.Encode(format, quality);
        return data.ToArray();
    }

    /// <summary>A PNG from rows that are packed as the format wants them.</summary>
    public static byte[] Png(int width, int height, int bits, byte colorType, byte[] rows, byte[]? palette = null, byte[]? transparency = null)
    {
        using var file = new MemoryStream();
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10]);
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = ((byte)bits, colorType);
        Chunk(file, "IHDR", header);
        if (palette is not null)
        {
            Chunk(file, "PLTE", palette);
        }
        if (transparency is not null)
        {
            Chunk(file, "tRNS", transparency);
        }
        Chunk(file, "IDAT", Deflate(rows, rows.Length / height));
        Chunk(file, "IEND", []);
        return file.ToArray();
    }

    /// <summary>A GIF of one frame; indices below 128. Codes are all one byte, since the table is cleared before it grows.</summary>
    public static byte[] Gif(int width, int height, byte[] indices, byte[] palette)
    {
        using var file = new MemoryStream();
        file.Write("GIF89a"u8);
        file.Write([(byte)width, 0, (byte)height, 0, 0xf6, 0, 0]);
        file.Write(palette.Concat(new byte[384 - palette.Length]).ToArray());
        file.Write([0x2c, 0, 0, 0, 0, (byte)width, 0, (byte)height, 0, 0, 7]);
        foreach (byte[] block in indices.Chunk(100))
        {
            file.WriteByte((byte)(block.Length + 1));
            file.WriteByte(128);
            file.Write(block);
        }
        file.Write([1, 129, 0, 0x3b]);
        return file.ToArray();
    }

    /// <summary>A JPEG with an EXIF segment that holds nothing but the orientation.</summary>
    public static byte[] WithOrientation(byte[] jpeg, byte orientation)
    {
        byte[] exif = [.. "Exif\0\0II*\0"u8, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0];
        return [0xff, 0xd8, 0xff, 0xe1, (byte)((exif.Length + 2) >> 8), (byte)(exif.Length + 2), .. exif, .. jpeg[2..]];
    }

    private static byte[] Deflate(byte[] rows, int rowBytes)
    {
        using var result = new MemoryStream();
        using (var zlib = new ZLibStream(result, CompressionLevel.Fastest))
        {
            foreach (byte[] row in rows.Chunk(rowBytes))
            {
                zlib.WriteByte(0);
                zlib.Write(row);
            }
        }
        return result.ToArray();
    }

    private static void Chunk(MemoryStream file, string type, byte[] data)
    {
        byte[] body = [.. Encoding.ASCII.GetBytes(type), .. data];
        byte[] number = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        file.Write(body);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc(body));
        file.Write(number);
    }

    private static uint Crc(byte[] data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) == 0 ? crc >> 1 : (crc >> 1) ^ 0xedb88320;
            }
        }
        return ~crc;
    }
}
