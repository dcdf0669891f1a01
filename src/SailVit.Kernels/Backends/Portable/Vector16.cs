using System.Runtime.CompilerServices;
using ILGPU;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>Sixteen floats side by side: what the product of matrices is made of, and what compilers do not find by themselves.</summary>
/// <remarks>ILGPU has no vectors. It takes this for a double, a type that no kernel uses, since a device may lack it, and the
/// backend writes its vector (OpenCL C: float16) wherever ILGPU wrote double. Functions without a body are the backend's; what is not here
/// cannot be done with one.</remarks>
internal readonly struct Vector16(double lanes)
{
    public const int Width = 16;

    private readonly double _lanes = lanes;

    public static Vector16 Zero => new(Splat(0));

    public static Vector16 Create(float value) => new(Splat(value));

    /// <summary>Sixteen adjacent elements, which need not be aligned.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector16 Load(ArrayView<float> view, long at) => new(VectorLoad(ref view[at]));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(ArrayView<float> view, long at) => VectorStore(_lanes, ref view[at]);

    public static Vector16 operator +(Vector16 a, Vector16 b) => new(a._lanes + b._lanes);

    public static Vector16 operator -(Vector16 a, Vector16 b) => new(a._lanes - b._lanes);

    public static Vector16 operator *(Vector16 a, Vector16 b) => new(a._lanes * b._lanes);

    public static Vector16 operator -(Vector16 a) => new(-a._lanes);

    /// <summary>a·b + c, rounded once.</summary>
    public static Vector16 Fma(Vector16 a, Vector16 b, Vector16 c) => new(Fma(a._lanes, b._lanes, c._lanes));

    /// <summary>The larger of two; the second where either is NaN.</summary>
    public static Vector16 Max(Vector16 a, Vector16 b) => new(VectorMax(a._lanes, b._lanes));

    public static Vector16 Round(Vector16 a) => new(Round(a._lanes));

    /// <summary>a·2^n for integral n.</summary>
    public static Vector16 ScaleExp2(Vector16 a, Vector16 n) => new(VectorScaleExp2(a._lanes, n._lanes));

    /// <summary>0 where <paramref name="a"/> is 0, else <paramref name="b"/>.</summary>
    public static Vector16 WhereNonzero(Vector16 a, Vector16 b) => new(VectorWhereNonzero(a._lanes, b._lanes));

    /// <summary>Of all lanes, in tree order.</summary>
    public static float Sum(Vector16 a) => VectorSum(a._lanes);

    public static float Largest(Vector16 a) => VectorLargest(a._lanes);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double Splat(float value);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double VectorLoad(ref float first);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern void VectorStore(double lanes, ref float first);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double Fma(double a, double b, double c);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double VectorMax(double a, double b);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double Round(double a);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double VectorScaleExp2(double a, double n);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern double VectorWhereNonzero(double a, double b);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern float VectorSum(double a);

    [MethodImpl(MethodImplOptions.InternalCall)]
    private static extern float VectorLargest(double a);
}

/// <summary>The arithmetic of <see cref="Vector16"/> for functions that the CPU's kernels share.</summary>
internal readonly struct PortableVector : IVectorMath<Vector16>
{
    public static Vector16 Create(float value) => Vector16.Create(value);

    public static Vector16 Mul(Vector16 a, Vector16 b) => a * b;

    public static Vector16 Fma(Vector16 a, Vector16 b, Vector16 c) => Vector16.Fma(a, b, c);

    public static Vector16 NegFma(Vector16 a, Vector16 b, Vector16 c) => Vector16.Fma(-a, b, c);

    public static Vector16 MaxNative(Vector16 a, Vector16 b) => Vector16.Max(a, b);

    public static Vector16 Round(Vector16 a) => Vector16.Round(a);

    public static Vector16 ScaleExp2(Vector16 a, Vector16 n) => Vector16.ScaleExp2(a, n);
}
