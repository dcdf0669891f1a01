using SkiaSharp;

namespace SailVit.Model.Images;

/// <summary>Decodes image files to RGB, as Pillow's <c>convert('RGB')</c> does: alpha is dropped, colour profiles are ignored.</summary>
/// <remarks>JPEG, PNG, WebP, GIF (first frame) and BMP, in colour, grey or by palette, 8 or 16 bits; the orientation in EXIF is applied.</remarks>
public static class ImageDecoder
{
    /// <summary>Most pixels of an image: 400 MB decoded. Larger ones are refused before anything is allocated.</summary>
    public const long MaxPixels = 100_000_000;

    /// <summary>Longest side of an image in pixels, the limit of JPEG.</summary>
    public const int MaxSide = 65_535;

    private const long MaxFileBytes = 1L << 30;

    /// <summary>How names of image files end.</summary>
    public static IReadOnlyList<string> Extensions { get; } = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"];

    /// <summary>Whether a file has the name of an image.</summary>
    public static bool IsImage(string path) => Extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    /// <summary>Decodes a file.</summary>
    /// <exception cref="ImageException">The file cannot be read, is no image, is damaged or too large.</exception>
    public static RgbImage Decode(string path) => Decode(ReadFile(path), path);

    /// <summary>Decodes the content of a file.</summary>
    /// <param name="content">The encoded image.</param>
    /// <param name="source">Named in messages.</param>
    /// <exception cref="ImageException">The content is no image, is damaged or too large.</exception>
    public static RgbImage Decode(ReadOnlySpan<byte> content, string source)
    {
        using var data = SKData.CreateCopy(content);
        using var codec = Open(data, source);
        return Orient(Pixels(codec, codec.Info, source), codec.EncodedOrigin);
    }

    /// <summary>The size of an image as <see cref="Decode(ReadOnlySpan{byte}, string)"/> gives it, read from its header alone.</summary>
    /// <param name="content">The encoded image.</param>
    /// <param name="source">Named in messages.</param>
    /// <exception cref="ImageException">The content is no image, or too large.</exception>
    public static (int Width, int Height) ReadSize(ReadOnlySpan<byte> content, string source)
    {
        using var data = SKData.CreateCopy(content);
        using var codec = Open(data, source);
        return IsTurned(codec.EncodedOrigin) ? (codec.Info.Height, codec.Info.Width) : (codec.Info.Width, codec.Info.Height);
    }

    // Refuses what is no image or too large before a pixel is decoded.
    private static SKCodec Open(SKData data, string source)
    {
        if (data.IsEmpty)
        {
            throw new ImageException($"{source}: is empty; an image was expected.");
        }
        var codec = SKCodec.Create(data)
            ?? throw new ImageException($"{source}: is no image that can be decoded (JPEG, PNG, WebP, GIF or BMP), or its header is damaged.");
        var info = codec.Info;
        string? problem = info.Width <= 0 || info.Height <= 0 ? $"is an image of {info.Width} × {info.Height} px; both sides must be at least 1."
            : Math.Max(info.Width, info.Height) > MaxSide || (long)info.Width * info.Height > MaxPixels ? $"is an image of {info.Width:N0} × {info.Height:N0} px; at most {MaxPixels:N0} pixels and {MaxSide:N0} px per side are decoded. Make it smaller first."
            : null;
        if (problem is not null)
        {
            codec.Dispose();
            throw new ImageException($"{source}: {problem}");
        }
        return codec;
    }

    private static bool IsTurned(SKEncodedOrigin origin) => origin is SKEncodedOrigin.LeftTop or SKEncodedOrigin.RightTop or SKEncodedOrigin.RightBottom or SKEncodedOrigin.LeftBottom;

    private static byte[] ReadFile(string path)
    {
        try
        {
            var file = new FileInfo(path);
            if (file.Exists && file.Length > MaxFileBytes)
            {
                throw new ImageException($"{path}: has {file.Length:N0} bytes; an image file may have at most {MaxFileBytes:N0}.");
            }
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ImageException($"{path}: there is no such file.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new ImageException(Directory.Exists(path) ? $"{path}: is a folder; an image file was expected." : $"{path}: could not be read: {e.Message}", e);
        }
    }

    private static unsafe RgbImage Pixels(SKCodec codec, SKImageInfo info, string source)
    {
        var image = new RgbImage(info.Width, info.Height);
        // Not premultiplied, so that dropping alpha leaves the colours as stored; no colour space, so that none is converted.
        var target = new SKImageInfo(info.Width, info.Height, SKColorType.Rgba8888, info.AlphaType == SKAlphaType.Opaque ? SKAlphaType.Opaque : SKAlphaType.Unpremul, null);
        fixed (byte* pixels = image.Data)
        {
            var result = codec.GetPixels(target, (nint)pixels);
            return result switch
            {
                SKCodecResult.Success => image,
                SKCodecResult.IncompleteInput => throw new ImageException($"{source}: the image is truncated."),
                _ => throw new ImageException($"{source}: the image is damaged and cannot be decoded ({result})."),
            };
        }
    }

    // A pixel of the result lies at origin + x·stepX + y·stepY in the stored image (TIFF 6.0, tag 274).
    private static RgbImage Orient(RgbImage image, SKEncodedOrigin origin)
    {
        if (origin is SKEncodedOrigin.TopLeft)
        {
            return image;
        }
        int w = image.Width, last = w * (image.Height - 1);
        bool turned = IsTurned(origin);
        var (start, stepX, stepY) = origin switch
        {
            SKEncodedOrigin.TopRight => (w - 1, -1, w),
            SKEncodedOrigin.BottomRight => (last + w - 1, -1, -w),
            SKEncodedOrigin.BottomLeft => (last, 1, -w),
            SKEncodedOrigin.LeftTop => (0, w, 1),
            SKEncodedOrigin.RightTop => (last, -w, 1),
            SKEncodedOrigin.RightBottom => (last + w - 1, -w, -1),
            SKEncodedOrigin.LeftBottom => (w - 1, w, -1),
            _ => (0, 1, w),
        };
        var result = turned ? new RgbImage(image.Height, image.Width) : new RgbImage(image.Width, image.Height);
        var from = image.Pixels();
        var to = result.Pixels();
        for (int y = 0, i = 0; y < result.Height; y++)
        {
            int at = start + (y * stepY);
            for (int x = 0; x < result.Width; x++, i++, at += stepX)
            {
                to[i] = from[at];
            }
        }
        return result;
    }
}
