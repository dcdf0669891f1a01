using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>One lane on a device: the element-wise bodies of the CPU kernels run on GPUs through it, formula by formula.</summary>
/// <remarks>Written in what ILGPU compiles. Devices have no host pointers: whatever takes one does not compile.</remarks>
internal readonly unsafe struct PortableSimd : ISimd<float>
{
    public static int Width => 1;

    public static float Zero => 0;

    public static float Create(float value) => value;

    public static float Add(float a, float b) => a + b;

    public static float Sub(float a, float b) => a - b;

    public static float Mul(float a, float b) => a * b;

    public static float Div(float a, float b) => a / b;

    public static float ReciprocalAboveOne(float a) => 1 / a;

    public static float Fma(float a, float b, float c) => Builtin.Fma(a, b, c);

    public static float NegFma(float a, float b, float c) => Builtin.Fma(-a, b, c);

    public static float Max(float a, float b) => AnyNaN(a) || a > b ? a : b;

    public static float Min(float a, float b) => AnyNaN(a) || a < b ? a : b;

    // As the instruction does it: the second one where either is NaN.
    public static float MaxNative(float a, float b) => a > b ? a : b;

    public static float MinNative(float a, float b) => a < b ? a : b;

    public static float Abs(float a) => And(a, Bits(0x7fffffff));

    public static float Sqrt(float a) => MathF.Sqrt(a);

    public static float Round(float a) => Builtin.Round(a);

    public static float Exp2Integer(float n) => Bits((uint)(((int)n + 127) << 23));

    public static float Scale(float a, float n) => Bits(ILGPU.Interop.FloatAsInt(a) + ((uint)(int)n << 23));

    public static float ScaleExp2(float a, float n) => a * Exp2Integer(MaxNative(-127f, n));

    public static float Bits(uint pattern) => ILGPU.Interop.IntAsFloat(pattern);

    public static float And(float a, float b) => Bits(ILGPU.Interop.FloatAsInt(a) & ILGPU.Interop.FloatAsInt(b));

    public static float Or(float a, float b) => Bits(ILGPU.Interop.FloatAsInt(a) | ILGPU.Interop.FloatAsInt(b));

    public static float AddBits(float a, float b) => Bits(ILGPU.Interop.FloatAsInt(a) + ILGPU.Interop.FloatAsInt(b));

    public static float ShiftLeft(float a, int bits) => Bits(ILGPU.Interop.FloatAsInt(a) << bits);

    public static float ShiftRight(float a, int bits) => Bits(ILGPU.Interop.FloatAsInt(a) >> bits);

    public static float ShiftRightSigned(float a, int bits) => Bits((uint)((int)ILGPU.Interop.FloatAsInt(a) >> bits));

    public static float LessThan(float a, float b) => Mask(a < b);

    public static float Equal(float a, float b) => Mask(a == b);

    public static float Select(float mask, float a, float b) => ILGPU.Interop.FloatAsInt(mask) != 0 ? a : b;

    public static bool Any(float mask) => ILGPU.Interop.FloatAsInt(mask) != 0;

    public static bool AnyNaN(float a) => (ILGPU.Interop.FloatAsInt(a) & 0x7fffffff) > 0x7f800000;

    public static float Sum(float a) => a;

    public static float HorizontalMax(float a) => a;

    public static float Load(float* p) => throw HostOnly();

    public static void Store(float* p, float v) => throw HostOnly();

    public static void StoreNonTemporal(float* p, float v) => throw HostOnly();

    public static float LoadU16(ushort* p) => throw HostOnly();

    public static void StoreU16(ushort* p, float bits) => throw HostOnly();

    public static float LoadU8(byte* p) => throw HostOnly();

    public static float Lookup16(ref float table, float i) => throw HostOnly();

    private static float Mask(bool set) => ILGPU.Interop.IntAsFloat(set ? 0xffffffffu : 0u);

    private static NotSupportedException HostOnly([CallerMemberName] string member = "") => new($"{member} reads the host's memory; no kernel of a device can.");
}
