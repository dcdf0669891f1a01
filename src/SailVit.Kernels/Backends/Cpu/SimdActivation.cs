using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>An activation and its derivative, in float32.</summary>
internal interface ISimdActivation
{
    static abstract V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged;

    static abstract V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>x·Φ(x) with the normal distribution Φ by the error function. Source: Hendrycks and Gimpel 2016.</summary>
internal readonly struct GeluErf : ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x, NormalTail.Distribution<S, V>(x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => NormalTail.GeluSlope<S, V>(x);
}

/// <summary>½·x·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³), computed as x·σ(2u), which is the same and does not cancel.</summary>
internal readonly struct GeluTanh : ISimdActivation
{
    private const float TwoSqrt2OverPi = 1.595769121605730712f;
    private const float Cubic = 0.044715f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(x, SimdMath.Sigmoid<S, V>(Argument<S, V>(x), out _));

    /// <remarks>σ + x·σ·(1 − σ)·(2u)′ with 1 − σ = σ·e^−2u, which does not cancel.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var sigmoid = SimdMath.Sigmoid<S, V>(Argument<S, V>(x), out var e);
        var both = S.Mul(S.Mul(sigmoid, e), sigmoid);
        var slope = S.Mul(x, S.Mul(S.Fma(S.Mul(x, x), S.Create(3 * Cubic), S.Create(1f)), S.Create(TwoSqrt2OverPi)));
        // Where σ is 0 or 1 nothing changes, also when the cube has overflowed.
        return S.Fma(S.Select(S.Equal(both, S.Zero), S.Zero, slope), both, sigmoid);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Argument<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(S.Mul(x, S.Fma(S.Mul(x, x), S.Create(Cubic), S.Create(1f))), S.Create(TwoSqrt2OverPi));
}

/// <summary>x·σ(x). Source: Elfwing, Uchibe and Doya 2017.</summary>
internal readonly struct Silu : ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x, SimdMath.Sigmoid<S, V>(x, out _));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => Derivative<S, V>(x, SimdMath.Sigmoid<S, V>(x, out _));

    /// <summary>σ·(1 + x·(1 − σ)), with σ at hand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x, V sigmoid) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(sigmoid, S.Fma(x, S.Sub(S.Create(1f), sigmoid), S.Create(1f)));
}
