using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Sixteen floats side by side: what the product of matrices is made of, and what compilers do not find by themselves.</summary>
/// <remarks>ILGPU has no vectors. It takes this for a double, a type that no kernel uses, since a device may lack it, and the
/// backend writes its vector (OpenCL C: float16) wherever ILGPU wrote double. What is not here cannot be done with one; its floats
/// are reached by a cast of the view that it lies in.</remarks>
internal readonly struct Vector16
{
    public const int Width = 16;

    private readonly double _value;

    private Vector16(double value) => _value = value;

    public static Vector16 Zero => new(Splat(0));

    public static Vector16 operator +(Vector16 a, Vector16 b) => new(a._value + b._value);

    /// <summary>a·b + c, rounded once.</summary>
    public static Vector16 MultiplyAdd(float a, Vector16 b, Vector16 c) => new(Fma(Splat(a), b._value, c._value));

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double Fma(double a, double b, double c);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double Splat(float a);
}
