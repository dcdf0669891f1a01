using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>One stored element of a mask on a device.</summary>
internal interface IMaskElement<M> where M : unmanaged, IMaskElement<M>
{
    static abstract bool Exists { get; }

    /// <summary>Whether some elements hide a score, which is a constant then, whatever it was.</summary>
    static abstract bool Hides { get; }

    static abstract bool IsHidden(M element);

    /// <summary>score · factor, masked.</summary>
    static abstract float Apply(M element, float score, float factor);
}

internal readonly struct NoMask(byte none) : IMaskElement<NoMask>
{
    private readonly byte _none = none;

    public static bool Exists => false;

    public static bool Hides => false;

    public static bool IsHidden(NoMask element) => element._none != 0;

    public static float Apply(NoMask element, float score, float factor) => score * factor;
}

/// <summary>True: attend.</summary>
internal readonly struct BooleanMask(byte value) : IMaskElement<BooleanMask>
{
    private readonly byte _value = value;

    public static bool Exists => true;

    public static bool Hides => true;

    public static bool IsHidden(BooleanMask element) => element._value == 0;

    // Not by a sum: a hidden score may be infinite or NaN.
    public static float Apply(BooleanMask element, float score, float factor) => element._value == 0 ? float.NegativeInfinity : score * factor;
}

internal readonly struct BiasMask<T>(T value) : IMaskElement<BiasMask<T>> where T : unmanaged, IPortableElement<T>
{
    private readonly T _value = value;

    public static bool Exists => true;

    public static bool Hides => false;

    public static bool IsHidden(BiasMask<T> element) => false;

    public static float Apply(BiasMask<T> element, float score, float factor) => Builtin.Fma(score, factor, T.Read(element._value));
}

/// <summary>A call that is generic over the kind of mask.</summary>
internal interface IMaskCall
{
    void Invoke<M>() where M : unmanaged, IMaskElement<M>;
}

/// <summary>Turns a run-time mask into a type argument.</summary>
internal static class MaskDispatch
{
    public static void For<A>(DType? mask, A call) where A : struct, IMaskCall
    {
        switch (mask)
        {
            case null:
                call.Invoke<NoMask>();
                break;
            case DType.Bool:
                call.Invoke<BooleanMask>();
                break;
            default:
                PortableDispatch.For(mask.Value, new Bias<A>(call));
                break;
        }
    }

    private readonly struct Bias<A>(A call) : IPortableCall where A : struct, IMaskCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T> => call.Invoke<BiasMask<T>>();
    }
}
