using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>Spacing of floating-point numbers, and bitwise comparison.</summary>
public static class Bits
{
    /// <summary>Distance between neighbouring numbers of <paramref name="dtype"/> at the magnitude of <paramref name="value"/>;
    /// never below the smallest subnormal.</summary>
    public static double Ulp(double value, ScalarType dtype)
    {
        var (fraction, minExponent, maxExponent) = Format(dtype);
        int exponent = value == 0 || double.IsNaN(value) ? minExponent
            : double.IsInfinity(value) ? maxExponent
            : Math.Clamp(Math.ILogB(value), minExponent, maxExponent);
        return Math.ScaleB(1, exponent - fraction);
    }

    /// <summary>The next number of <paramref name="dtype"/> above <paramref name="value"/>, <paramref name="ulps"/> steps away.</summary>
    public static double Step(double value, int ulps, ScalarType dtype) => value + ulps * Ulp(value, dtype);

    /// <summary>Whether two tensors have the same shape, dtype and bits (NaN equals the same NaN; −0 differs from 0).</summary>
    public static bool Same(Tensor a, Tensor b) => FirstDifference(a, b) is null;

    /// <summary>Describes the first bitwise difference, or null.</summary>
    public static unsafe string? FirstDifference(Tensor a, Tensor b)
    {
        if (a.dtype != b.dtype || !a.shape.AsSpan().SequenceEqual(b.shape))
        {
            return $"{Describe(a)} against {Describe(b)}";
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var x = a.contiguous();
        var y = b.contiguous();
        var (xs, ys) = (new TensorView(x), new TensorView(y));
        int size = (int)x.element_size();
        long bytes = xs.Length * size;
        const int Chunk = 1 << 30;
        for (long start = 0; start < bytes; start += Chunk)
        {
            int count = (int)Math.Min(Chunk, bytes - start);
            int same = new ReadOnlySpan<byte>(xs.Data + start, count).CommonPrefixLength(new ReadOnlySpan<byte>(ys.Data + start, count));
            if (same < count)
            {
                long index = (start + same) / size;
                return $"element {index} of {Describe(a)}: {Element(x, index)} against {Element(y, index)}";
            }
        }
        return null;
    }

    /// <summary>Shape and dtype for messages.</summary>
    public static string Describe(Tensor t) => $"{t.dtype} [{string.Join(", ", t.shape)}]";

    private static double Element(Tensor contiguous, long index) => contiguous.reshape(-1)[index].to(float64).item<double>();

    // Fraction bits, exponent of the smallest normal, exponent of the largest.
    private static (int Fraction, int MinExponent, int MaxExponent) Format(ScalarType dtype) => dtype switch
    {
        ScalarType.Float32 => (23, -126, 127),
        ScalarType.BFloat16 => (7, -126, 127),
        ScalarType.Float16 => (10, -14, 15),
        ScalarType.Float64 => (52, -1022, 1023),
        _ => throw new ArgumentException($"{dtype} is not a floating-point type.", nameof(dtype)),
    };
}
