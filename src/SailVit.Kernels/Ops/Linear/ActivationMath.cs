using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>An activation and its derivative, inlined into the loops that apply them.</summary>
internal interface IActivation
{
    static abstract V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged;

    static abstract V Slope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>A call that is generic over one activation.</summary>
internal interface IActivationCall
{
    void Invoke<F>() where F : unmanaged, IActivation;
}

/// <summary>Turns the run-time choice into a type argument.</summary>
internal static class ActivationDispatch
{
    public static void For<C>(Activation activation, C call) where C : struct, IActivationCall, allows ref struct
    {
        switch (activation)
        {
            case Activation.None:
                call.Invoke<Identity>();
                break;
            case Activation.Gelu:
                call.Invoke<GeluErf>();
                break;
            case Activation.GeluTanh:
                call.Invoke<GeluTanh>();
                break;
            case Activation.Silu:
                call.Invoke<Silu>();
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(activation), activation, "There is no such activation; use None, Gelu, GeluTanh or Silu.");
        }
    }
}

internal readonly struct Identity : IActivation
{
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => x;

    public static V Slope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Create(1f);
}

internal readonly struct GeluErf : IActivation
{
    private const float Sqrt1_2 = 0.70710678f;
    private const float InverseSqrt2Pi = 0.39894228f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x, Normal<S, V>(x));

    // Φ(x) + x·φ(x)
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Slope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var density = S.Mul(S.Create(InverseSqrt2Pi), SimdMath.Exp<S, V>(S.Mul(S.Create(-0.5f), S.Mul(x, x))));
        return S.Fma(x, density, Normal<S, V>(x));
    }

    // Φ(x) = ½ + ½·erf(x / √2)
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Normal<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Fma(S.Create(0.5f), SimdMath.Erf<S, V>(S.Mul(x, S.Create(Sqrt1_2))), S.Create(0.5f));
}

/// <summary>½x·(1 + tanh u) = x·σ(2u): one exponential, and no cancellation at either end.</summary>
internal readonly struct GeluTanh : IActivation
{
    // 2·√(2/π) and 0.044715 times that.
    private const float Linear = 1.5957691216f;
    private const float Cubic = 0.0713548163f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x, Gate<S, V>(x));

    // σ + x·σ·(1 − σ)·2u'
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Slope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var gate = Gate<S, V>(x);
        // σ is 0 or 1 long before ±30; beyond, 0·∞ would give NaN.
        var near = S.Max(S.Min(x, S.Create(30f)), S.Create(-30f));
        var inner = S.Fma(S.Create(3 * Cubic), S.Mul(near, near), S.Create(Linear));
        var slope = S.Mul(S.Mul(near, inner), S.Mul(gate, S.Sub(S.Create(1f), gate)));
        return S.Add(gate, slope);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Gate<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        SimdMath.Sigmoid<S, V>(S.Mul(x, S.Fma(S.Create(Cubic), S.Mul(x, x), S.Create(Linear))));
}

internal readonly struct Silu : IActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Div(x, S.Add(S.Create(1f), SimdMath.Exp<S, V>(S.Sub(S.Zero, x))));

    // σ·(1 + x·(1 − σ))
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Slope<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var gate = SimdMath.Sigmoid<S, V>(x);
        return S.Mul(gate, S.Fma(x, S.Sub(S.Create(1f), gate), S.Create(1f)));
    }
}
