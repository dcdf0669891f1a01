using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>One stored element of a tensor on a device. Arithmetic is float32.</summary>
internal interface IPortableElement<T> where T : unmanaged, IPortableElement<T>
{
    static abstract float Read(T element);

    /// <summary>The nearest stored value, ties to even; NaN stays NaN.</summary>
    static abstract T Write(float value);
}

internal readonly struct PortableF32(float value) : IPortableElement<PortableF32>
{
    private readonly float _value = value;

    public static float Read(PortableF32 element) => element._value;

    public static PortableF32 Write(float value) => new(value);
}

/// <summary>By its bits: neither ILGPU nor every device knows 16-bit numbers.</summary>
internal readonly struct PortableBf16(ushort bits) : IPortableElement<PortableBf16>
{
    private readonly ushort _bits = bits;

    public static float Read(PortableBf16 element) => Bf16.Widen<PortableSimd, float>(ILGPU.Interop.IntAsFloat((uint)element._bits << 16));

    public static PortableBf16 Write(float value) => new((ushort)ILGPU.Interop.FloatAsInt(Bf16.Narrow<PortableSimd, float>(value)));
}

/// <summary>By its bits: neither ILGPU nor every device knows 16-bit numbers.</summary>
internal readonly struct PortableF16(ushort bits) : IPortableElement<PortableF16>
{
    private readonly ushort _bits = bits;

    public static float Read(PortableF16 element) => F16.Widen<PortableSimd, float>(ILGPU.Interop.IntAsFloat((uint)element._bits << 16));

    public static PortableF16 Write(float value) => new((ushort)ILGPU.Interop.FloatAsInt(F16.Narrow<PortableSimd, float>(value)));
}

/// <summary>Bytes 0 … 255: pixels. Never stored.</summary>
internal readonly struct PortableU8(byte value) : IPortableElement<PortableU8>
{
    private readonly byte _value = value;

    public static float Read(PortableU8 element) => element._value & 0xff;

    public static PortableU8 Write(float value) => throw new NotSupportedException("Bytes are read only.");
}

/// <summary>A call that is generic over one storage type.</summary>
internal interface IPortableCall
{
    void Invoke<T>() where T : unmanaged, IPortableElement<T>;
}

/// <summary>Turns a run-time dtype into a type argument.</summary>
internal static class PortableDispatch
{
    public static void For<A>(DType dtype, A call) where A : struct, IPortableCall, allows ref struct
    {
        switch (dtype)
        {
            case DType.Float32:
                call.Invoke<PortableF32>();
                break;
            case DType.BFloat16:
                call.Invoke<PortableBf16>();
                break;
            case DType.Float16:
                call.Invoke<PortableF16>();
                break;
            default:
                throw new NotSupportedException($"There is no kernel for {dtype}; there is for Float32, BFloat16 and Float16.");
        }
    }
}
