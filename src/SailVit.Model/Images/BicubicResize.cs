using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace SailVit.Model.Images;

/// <summary>Bicubic resize with antialiasing, bit for bit that of Pillow, with which the models were trained.</summary>
/// <remarks>
/// Two passes, horizontal first, each rounded to 8 bits. Cubic with a = −0.5, its support widened by the ratio when
/// shrinking; weights in fixed point with 22 bits after the point.
/// Source: Pillow, src/libImaging/Resample.c.
/// </remarks>
public static class BicubicResize
{
    private const double Support = 2;
    private const int RowsAtOnce = WeightedSum.Bytes / RgbImage.Stride;

    /// <summary>Resizes an image; returns the same object when it has the size already.</summary>
    /// <exception cref="ArgumentException">A side is not positive or the result too large.</exception>
    public static RgbImage Resize(RgbImage image, int width, int height)
    {
        ArgumentNullException.ThrowIfNull(image);
        var rows = image.Width == width ? image : Horizontal(image, width);
        return rows.Height == height ? rows : Vertical(rows, height);
    }

    // Four rows at a time, one pixel of each side by side: the rows share their weights.
    private static RgbImage Horizontal(RgbImage image, int width)
    {
        var result = new RgbImage(width, image.Height);
        var taps = Taps.For(image.Width, width);
        byte[] pixels = new byte[image.Width * RowsAtOnce * RgbImage.Stride];
        for (int y = 0; y < image.Height; y += RowsAtOnce)
        {
            int rows = Math.Min(RowsAtOnce, image.Height - y);
            Interleave(image, y, rows, MemoryMarshal.Cast<byte, uint>(pixels.AsSpan()));
            for (int x = 0; x < width; x++)
            {
                var weights = taps.Weights(x, out int first);
                var four = WeightedSum.Of(pixels, first * WeightedSum.Bytes, WeightedSum.Bytes, weights).AsUInt32();
                for (int row = 0; row < rows; row++)
                {
                    MemoryMarshal.Cast<byte, uint>(result.Row(y + row))[x] = four[row];
                }
            }
        }
        return result;
    }

    private static void Interleave(RgbImage image, int y, int rows, Span<uint> pixels)
    {
        for (int row = 0; row < rows; row++)
        {
            var from = MemoryMarshal.Cast<byte, uint>(image.Row(y + row));
            for (int x = 0; x < from.Length; x++)
            {
                pixels[(x * RowsAtOnce) + row] = from[x];
            }
        }
    }

    private static RgbImage Vertical(RgbImage image, int height)
    {
        var result = new RgbImage(image.Width, height);
        var taps = Taps.For(image.Height, height);
        int stride = image.Width * RgbImage.Stride;
        for (int y = 0; y < height; y++)
        {
            var weights = taps.Weights(y, out int first);
            var row = result.Row(y);
            int i = 0;
            for (; i <= stride - WeightedSum.Bytes; i += WeightedSum.Bytes)
            {
                WeightedSum.Of(image.Data, (first * stride) + i, stride, weights).CopyTo(row[i..]);
            }
            for (; i < stride; i++)
            {
                row[i] = WeightedSum.One(image.Data, (first * stride) + i, stride, weights);
            }
        }
        return result;
    }

    /// <summary>For each output place, which inputs it sums and with which fixed-point weights.</summary>
    private readonly struct Taps
    {
        private readonly int[] _weights;
        private readonly (int First, int Count)[] _ranges;
        private readonly int _stride;

        private Taps(int inputs, int outputs)
        {
            double scale = (double)inputs / outputs, spread = Math.Max(scale, 1), support = Support * spread;
            _stride = ((int)Math.Ceiling(support) * 2) + 1;
            _weights = new int[(long)outputs * _stride];
            _ranges = new (int, int)[outputs];
            double[] weights = new double[_stride];
            for (int i = 0; i < outputs; i++)
            {
                double center = (i + 0.5) * scale;
                int first = Math.Max((int)(center - support + 0.5), 0);
                int count = Math.Min((int)(center + support + 0.5), inputs) - first;
                double total = 0;
                for (int k = 0; k < count; k++)
                {
                    weights[k] = Cubic((k + first - center + 0.5) / spread);
                    total += weights[k];
                }
                for (int k = 0; k < count; k++)
                {
                    double scaled = weights[k] / total * (1 << WeightedSum.PrecisionBits);
                    _weights[(i * _stride) + k] = (int)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
                }
                _ranges[i] = (first, count);
            }
        }

        public static Taps For(int inputs, int outputs) => new(inputs, outputs);

        public ReadOnlySpan<int> Weights(int output, out int first)
        {
            (first, int count) = _ranges[output];
            return _weights.AsSpan(output * _stride, count);
        }

        private static double Cubic(double x)
        {
            const double A = -0.5;
            x = Math.Abs(x);
            return x < 1 ? ((((A + 2) * x) - (A + 3)) * x * x) + 1
                : x < 2 ? ((((x - 5) * x) + 8) * x - 4) * A
                : 0;
        }
    }
}
