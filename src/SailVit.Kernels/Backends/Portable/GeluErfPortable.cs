using SailVit.Kernels.Backends.Cpu;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>x·Φ(x) without a table, which kernels of a device do not have; see <see cref="GeluErf"/>.</summary>
/// <remarks>Φ(−t) = ½·erfc(t/√2) by the Chebyshev fit of Press et al., Numerical Recipes, §6.2: relative error below 1.2e-7.</remarks>
internal readonly struct GeluErfPortable : ISimdActivation
{
    private const float SqrtHalf = 0.70710678118654752f;
    private const float InverseSqrt2Pi = 0.39894228040143268f;

    // Φ(−15) is 0 in float32, and so is φ(15).
    private const float Far = 15;

    public static V Value<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.Mul(x, Reflect<S, V>(x, Tail<S, V>(Magnitude<S, V>(x))));

    /// <remarks>Φ(x) + x·φ(x), with Φ(−t) − t·φ(t) for negative x.</remarks>
    public static V Derivative<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var t = Magnitude<S, V>(x);
        var density = S.Mul(SimdMath.Exp<S, V>(S.Mul(S.Mul(t, t), S.Create(-0.5f))), S.Create(InverseSqrt2Pi));
        return Reflect<S, V>(x, S.NegFma(t, density, Tail<S, V>(t)));
    }

    // The operand order lets NaN through.
    private static V Magnitude<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged => S.MinNative(S.Create(Far), S.Abs(x));

    private static V Reflect<S, V>(V x, V q) where S : struct, ISimd<V> where V : unmanaged =>
        S.Select(S.LessThan(x, S.Zero), q, S.Sub(S.Create(1f), q));

    private static V Tail<S, V>(V t) where S : struct, ISimd<V> where V : unmanaged
    {
        var z = S.Mul(t, S.Create(SqrtHalf));
        var u = S.Div(S.Create(1f), S.Fma(z, S.Create(0.5f), S.Create(1f)));
        var p = S.Create(0.17087277f);
        p = S.Fma(p, u, S.Create(-0.82215223f));
        p = S.Fma(p, u, S.Create(1.48851587f));
        p = S.Fma(p, u, S.Create(-1.13520398f));
        p = S.Fma(p, u, S.Create(0.27886807f));
        p = S.Fma(p, u, S.Create(-0.18628806f));
        p = S.Fma(p, u, S.Create(0.09678418f));
        p = S.Fma(p, u, S.Create(0.37409196f));
        p = S.Fma(p, u, S.Create(1.00002368f));
        p = S.Fma(p, u, S.Create(-1.26551223f));
        return S.Mul(S.Mul(u, S.Create(0.5f)), SimdMath.Exp<S, V>(S.NegFma(z, z, p)));
    }
}
