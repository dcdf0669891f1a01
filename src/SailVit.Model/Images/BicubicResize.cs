using System.Numerics;
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
    // 8 bits of pixel and 2 bits of headroom for the weights' overshoot leave 22 of 32.
    private const int PrecisionBits = 22;
    private const double Support = 2;

    /// <summary>Resizes an image; returns the same object when it has the size already.</summary>
    /// <exception cref="ArgumentException">A side is not positive or the result too large.</exception>
    public static RgbImage Resize(RgbImage image, int width, int height)
    {
        ArgumentNullException.ThrowIfNull(image);
        var rows = image.Width == width ? image : Horizontal(image, width);
        return rows.Height == height ? rows : Vertical(rows, height);
    }

    private static RgbImage Horizontal(RgbImage image, int width)
    {
        var result = new RgbImage(width, image.Height);
        var taps = Taps.For(image.Width, width);
        for (int y = 0; y < image.Height; y++)
        {
            var from = MemoryMarshal.Cast<byte, uint>(image.Row(y));
            var to = MemoryMarshal.Cast<byte, uint>(result.Row(y));
            for (int x = 0; x < width; x++)
            {
                var weights = taps.Weights(x, out int first);
                var sum = Vector128.Create(1 << (PrecisionBits - 1));
                for (int k = 0; k < weights.Length; k++)
                {
                    // One pixel, its four bytes widened to four 32-bit lanes.
                    var pixel = Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalar(from[first + k]).AsByte())).AsInt32();
                    sum += pixel * weights[k];
                }
                to[x] = Pack(sum);
            }
        }
        return result;
    }

    private static uint Pack(Vector128<int> sum)
    {
        var value = Vector128.Min(Vector128.Max(sum >> PrecisionBits, Vector128<int>.Zero), Vector128.Create(255));
        return (uint)(value[0] | (value[1] << 8) | (value[2] << 16) | (value[3] << 24));
    }

    private static RgbImage Vertical(RgbImage image, int height)
    {
        var result = new RgbImage(image.Width, height);
        var taps = Taps.For(image.Height, height);
        int[] sums = new int[image.Width * RgbImage.Stride];
        for (int y = 0; y < height; y++)
        {
            var weights = taps.Weights(y, out int first);
            Array.Fill(sums, 1 << (PrecisionBits - 1));
            for (int k = 0; k < weights.Length; k++)
            {
                Accumulate(image.Row(first + k), weights[k], sums);
            }
            var row = result.Row(y);
            for (int i = 0; i < row.Length; i++)
            {
                row[i] = (byte)Math.Clamp(sums[i] >> PrecisionBits, 0, 255);
            }
        }
        return result;
    }

    private static void Accumulate(ReadOnlySpan<byte> row, int weight, Span<int> sums)
    {
        int i = 0;
        for (; i <= row.Length - Vector<byte>.Count; i += Vector<byte>.Count)
        {
            Vector.Widen(new Vector<byte>(row[i..]), out var low, out var high);
            Add(low, weight, sums[i..]);
            Add(high, weight, sums[(i + Vector<ushort>.Count)..]);
        }
        for (; i < row.Length; i++)
        {
            sums[i] += row[i] * weight;
        }
    }

    private static void Add(Vector<ushort> pixels, int weight, Span<int> sums)
    {
        Vector.Widen(pixels, out var low, out var high);
        (new Vector<int>(sums) + (Vector.AsVectorInt32(low) * weight)).CopyTo(sums);
        var rest = sums[Vector<int>.Count..];
        (new Vector<int>(rest) + (Vector.AsVectorInt32(high) * weight)).CopyTo(rest);
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
                    double scaled = weights[k] / total * (1 << PrecisionBits);
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
