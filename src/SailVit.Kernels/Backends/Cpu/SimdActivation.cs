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
    private const float Sqrt1Over2 = 0.707106781186547524f;
    private const float Sqrt1Over2Pi = 0.398942280401432678f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x, Distribution<S, V>(x));

    /// <remarks>Φ(x) + x·φ(x) with φ(x) = e^(−x²/2) / √(2π).</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var density = S.Mul(SimdMath.Exp<S, V>(S.Mul(S.Mul(x, x), S.Create(-0.5f))), S.Create(Sqrt1Over2Pi));
        return S.Fma(x, density, Distribution<S, V>(x));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Distribution<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Fma(SimdMath.Erf<S, V>(S.Mul(x, S.Create(Sqrt1Over2))), S.Create(0.5f), S.Create(0.5f));
}

/// <summary>½·x·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³), computed as x·σ(2u), which is the same and does not cancel.</summary>
internal readonly struct GeluTanh : ISimdActivation
{
    private const float TwoSqrt2OverPi = 1.595769121605730712f;
    private const float Cubic = 0.044715f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(x, SimdMath.Sigmoid<S, V>(Argument<S, V>(x)));

    /// <remarks>σ + x·σ·(1 − σ)·(2u)′ with σ·(1 − σ) = e / (1 + e)² and e = e^−|2u|, so that 1 − σ does not cancel.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var argument = Argument<S, V>(x);
        var e = SimdMath.Exp<S, V>(S.Sub(S.Zero, S.Abs(argument)));
        var larger = S.Div(S.Create(1f), S.Add(S.Create(1f), e));
        var smaller = S.Mul(e, larger);
        var sigmoid = S.Select(S.LessThan(argument, S.Zero), smaller, larger);
        var slope = S.Mul(S.Fma(S.Mul(x, x), S.Create(3 * Cubic), S.Create(1f)), S.Create(TwoSqrt2OverPi));
        // Where e has vanished there is no change, also when the cube has overflowed.
        var change = S.Mul(S.Mul(x, slope), S.Mul(smaller, larger));
        return S.Add(sigmoid, S.Select(S.Equal(smaller, S.Zero), S.Zero, change));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Argument<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Mul(S.Mul(x, S.Fma(S.Mul(x, x), S.Create(Cubic), S.Create(1f))), S.Create(TwoSqrt2OverPi));
}

/// <summary>x·σ(x). Source: Elfwing, Uchibe and Doya 2017.</summary>
internal readonly struct Silu : ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Div(x, S.Add(S.Create(1f), SimdMath.Exp<S, V>(S.Sub(S.Zero, x))));

    /// <remarks>σ·(1 + x·(1 − σ)).</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var sigmoid = SimdMath.Sigmoid<S, V>(x);
        return S.Mul(sigmoid, S.Fma(x, S.Sub(S.Create(1f), sigmoid), S.Create(1f)));
    }
}
