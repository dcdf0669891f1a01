using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>One lane: processors without a vector unit that .NET knows, and the reference for the wider paths.</summary>
internal readonly unsafe struct SimdScalar : ISimd<float>
{
    public static int Width => 1;

    public static float Zero => 0;

    public static float Create(float value) => value;

    public static float Load(float* p) => *p;

    public static void Store(float* p, float v) => *p = v;

    public static void StoreNonTemporal(float* p, float v) => *p = v;

    // In two loads: the JIT makes four bytes of a 16-bit load whose pattern goes through a float (dotnet/runtime issue 133580), so
    // that the next element stands in the upper half and the last one of a tensor is read past its end.
    public static float LoadU16(ushort* p) => Bits(((byte*)p)[0] | ((uint)((byte*)p)[1] << 8));

    public static void StoreU16(ushort* p, float bits) => *p = (ushort)Pattern(bits);

    public static float LoadU8(byte* p) => *p;

    public static float Add(float a, float b) => a + b;

    public static float Sub(float a, float b) => a - b;

    public static float Mul(float a, float b) => a * b;

    public static float Div(float a, float b) => a / b;

    public static float ReciprocalAboveOne(float a) => 1 / a;

    public static float Fma(float a, float b, float c) => MathF.FusedMultiplyAdd(a, b, c);

    public static float NegFma(float a, float b, float c) => MathF.FusedMultiplyAdd(-a, b, c);

    public static float Max(float a, float b) => MathF.Max(a, b);

    public static float Min(float a, float b) => MathF.Min(a, b);

    public static float MaxNative(float a, float b) => MathF.Max(a, b);

    public static float MinNative(float a, float b) => a < b ? a : b;

    public static float Lookup16(ref float table, float i) => Unsafe.Add(ref table, BitConverter.SingleToInt32Bits(i) & 15);

    public static float Abs(float a) => MathF.Abs(a);

    public static float Sqrt(float a) => MathF.Sqrt(a);

    public static float Round(float a) => MathF.Round(a);

    public static float Exp2Integer(float n) => BitConverter.Int32BitsToSingle(((int)n + 127) << 23);

    public static float Scale(float a, float n) => BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(a) + ((int)n << 23));

    public static float ScaleExp2(float a, float n) => a * Exp2Integer(MathF.Max(n, -127));

    public static float Bits(uint pattern) => BitConverter.UInt32BitsToSingle(pattern);

    public static float And(float a, float b) => Bits(Pattern(a) & Pattern(b));

    public static float Or(float a, float b) => Bits(Pattern(a) | Pattern(b));

    public static float AddBits(float a, float b) => Bits(Pattern(a) + Pattern(b));

    public static float ShiftLeft(float a, int bits) => Bits(Pattern(a) << bits);

    public static float ShiftRight(float a, int bits) => Bits(Pattern(a) >> bits);

    public static float ShiftRightSigned(float a, int bits) => Bits((uint)((int)Pattern(a) >> bits));

    public static float LessThan(float a, float b) => Mask(a < b);

    public static float Equal(float a, float b) => Mask(a == b);

    public static float Select(float mask, float a, float b) => BitConverter.SingleToInt32Bits(mask) != 0 ? a : b;

    public static bool Any(float mask) => BitConverter.SingleToInt32Bits(mask) != 0;

    public static bool AnyNaN(float a) => float.IsNaN(a);

    public static float Sum(float a) => a;

    public static float HorizontalMax(float a) => a;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Pattern(float a) => BitConverter.SingleToUInt32Bits(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Mask(bool set) => BitConverter.Int32BitsToSingle(set ? -1 : 0);
}
