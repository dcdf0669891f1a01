using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Images;

/// <summary>Turns images into the tensor that an encoder takes.</summary>
/// <param name="Height">Rows of the tensor.</param>
/// <param name="Width">Columns of the tensor.</param>
public sealed record ImageTransform(int Height, int Width)
{
    /// <summary>Mean of red, green and blue over ImageNet, of values from 0 to 1.</summary>
    public static IReadOnlyList<float> Mean { get; } = [0.485f, 0.456f, 0.406f];

    /// <summary>Standard deviation of red, green and blue over ImageNet.</summary>
    public static IReadOnlyList<float> Std { get; } = [0.229f, 0.224f, 0.225f];

    /// <summary>Images resized without keeping the aspect ratio, [B, 3, H, W], uint8.</summary>
    public Tensor ToBytes(params IReadOnlyList<RgbImage> images) => ToTensor<byte>(images, ScalarType.Byte, (_, value) => (byte)value);

    /// <summary>The same as float32, scaled to 0…1 and normalised by <see cref="Mean"/> and <see cref="Std"/>.</summary>
    public Tensor ToFloats(params IReadOnlyList<RgbImage> images) => ToTensor<float>(images, ScalarType.Float32, (channel, value) => ((value / 255f) - Mean[channel]) / Std[channel]);

    private Tensor ToTensor<T>(IReadOnlyList<RgbImage> images, ScalarType dtype, Func<int, int, T> convert) where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(images);
        // A table per channel: 256 conversions instead of one per pixel.
        T[][] tables = [.. Enumerable.Range(0, 3).Select(channel => Enumerable.Range(0, 256).Select(value => convert(channel, value)).ToArray())];
        var tensor = torch.empty([images.Count, 3, Height, Width], dtype);
        for (int i = 0; i < images.Count; i++)
        {
            var image = BicubicResize.Resize(images[i], Width, Height);
            using var one = tensor[i];
            var planes = MemoryMarshal.Cast<byte, T>(one.bytes);
            for (int channel = 0; channel < 3; channel++)
            {
                Spread(image.Data.AsSpan(channel), tables[channel], planes.Slice(channel * Height * Width, Height * Width));
            }
        }
        return tensor;
    }

    private static void Spread<T>(ReadOnlySpan<byte> pixels, T[] table, Span<T> plane)
    {
        for (int i = 0; i < plane.Length; i++)
        {
            plane[i] = table[pixels[i * RgbImage.Stride]];
        }
    }
}
