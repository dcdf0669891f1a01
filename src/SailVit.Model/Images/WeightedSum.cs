using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace SailVit.Model.Images;

/// <summary>Sums of bytes with fixed-point weights, rounded to bytes: the arithmetic of a resize.</summary>
internal static class WeightedSum
{
    /// <summary>Bits of a weight after the point: 8 bits of pixel and 2 bits of headroom for the weights' overshoot leave 22 of 32.</summary>
    public const int PrecisionBits = 22;

    /// <summary>Bytes that are summed side by side.</summary>
    public const int Bytes = 16;

    private const int Half = 1 << (PrecisionBits - 1);

    /// <summary>Sixteen sums: of the bytes from <paramref name="start"/> on, those one stride further, and so on.</summary>
    public static Vector128<byte> Of(ReadOnlySpan<byte> bytes, int start, int stride, ReadOnlySpan<int> weights)
    {
        // The last sixteen bytes end inside, so all before them do.
        _ = bytes.Slice(start, ((weights.Length - 1) * stride) + Bytes);
        ref byte origin = ref MemoryMarshal.GetReference(bytes);
        var sum = Vector512.Create(Half);
        foreach (int weight in weights)
        {
            sum += Widen(Vector128.LoadUnsafe(ref origin, (nuint)start)) * Vector512.Create(weight);
            start += stride;
        }
        sum = Vector512.Min(Vector512.Max(sum >> PrecisionBits, Vector512<int>.Zero), Vector512.Create(255));
        return Avx512F.IsSupported ? Avx512F.ConvertToVector128Byte(sum)
            : Vector128.Narrow(Narrow(sum.GetLower()), Narrow(sum.GetUpper()));
    }

    /// <summary>One such sum.</summary>
    public static byte One(ReadOnlySpan<byte> bytes, int start, int stride, ReadOnlySpan<int> weights)
    {
        int sum = Half;
        for (int k = 0; k < weights.Length; k++)
        {
            sum += bytes[start + (k * stride)] * weights[k];
        }
        return (byte)Math.Clamp(sum >> PrecisionBits, 0, 255);
    }

    private static Vector512<int> Widen(Vector128<byte> bytes)
    {
        if (Avx512F.IsSupported)
        {
            return Avx512F.ConvertToVector512Int32(bytes);
        }
        var (low, high) = Vector128.Widen(bytes);
        return Vector512.Create(Vector256.Create(Vector128.WidenLower(low), Vector128.WidenUpper(low)), Vector256.Create(Vector128.WidenLower(high), Vector128.WidenUpper(high))).AsInt32();
    }

    private static Vector128<ushort> Narrow(Vector256<int> sums) => Vector128.Narrow(sums.GetLower().AsUInt32(), sums.GetUpper().AsUInt32());
}
