using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Elementary functions in float32, one body for every vector width.</summary>
internal static class SimdMath
{
    private const float Log2E = 1.44269504088896341f;
    private const double Log2E64 = 1.44269504088896341;
    private const float SigmoidRange = 87;
    private const float Ln2High = 0.693145751953125f;
    private const float Ln2Low = 1.42860682030941723e-6f;

    /// <summary>e^x. Below −87.33 the result is 0 (no subnormals), above 88.72 infinity, NaN stays NaN.</summary>
    /// <remarks>x = n·ln 2 + r with |r| ≤ ln 2 / 2; the polynomial is the degree-6 minimax fit of (e^r − 1 − r) / r² of
    /// Cephes (S. Moshier, expf); error below 1 ulp over the range.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var n = S.Round(S.Mul(x, S.Create(Log2E)));
        var r = S.NegFma(n, S.Create(Ln2High), x);
        r = S.NegFma(n, S.Create(Ln2Low), r);
        var p = S.Create(1.9875691500e-4f);
        p = S.Fma(p, r, S.Create(1.3981999507e-3f));
        p = S.Fma(p, r, S.Create(8.3334519073e-3f));
        p = S.Fma(p, r, S.Create(4.1665795894e-2f));
        p = S.Fma(p, r, S.Create(1.6666665459e-1f));
        p = S.Fma(p, r, S.Create(5.0000001201e-1f));
        p = S.Fma(p, S.Mul(r, r), S.Add(r, S.Create(1f)));
        // Outside the range n may be anything; what came of it is replaced. NaN compares false and stays.
        var y = S.Scale(p, n);
        y = S.Select(S.LessThan(x, S.Create(-87.33654f)), S.Zero, y);
        return S.Select(S.LessThan(S.Create(88.722839f), x), S.Create(float.PositiveInfinity), y);
    }

    /// <summary>2^(x·unit) for x·unit below 127. Below 2^−126 the result may be 0, below 2^−150 it is; NaN stays NaN.</summary>
    /// <remarks>x·unit = n − g with |g| ≤ 1/2, where the product is never rounded by itself; the polynomial interpolates 2^−g at
    /// Chebyshev nodes, degree 6, relative error 2e-8. Error below 1 ulp over the range.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp2<S, V>(V x, in Exp2Unit unit) where S : struct, IVectorMath<V> where V : unmanaged
    {
        // Clamped so that n − ∞ is a number. The operand order lets NaN through.
        x = S.MaxNative(S.Create(unit.Lowest), x);
        var factor = S.Create(unit.Factor);
        var n = S.Round(S.Mul(x, factor));
        var g = S.NegFma(x, factor, n);
        g = S.NegFma(x, S.Create(unit.Rest), g);
        var p = S.Create(1.546144485e-4f);
        p = S.Fma(p, g, S.Create(-1.3400428e-3f));
        p = S.Fma(p, g, S.Create(9.618056938e-3f));
        p = S.Fma(p, g, S.Create(-5.550327152e-2f));
        p = S.Fma(p, g, S.Create(2.402265072e-1f));
        p = S.Fma(p, g, S.Create(-6.931471825e-1f));
        p = S.Fma(p, g, S.Create(1f));
        return S.ScaleExp2(p, n);
    }

    /// <summary>σ(x) = 1 / (1 + e^−x); below −87 it is 0.</summary>
    /// <param name="x">Any value.</param>
    /// <param name="e">e^−x, at most e^87.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid<S, V>(V x, out V e) where S : struct, ISimd<V> where V : unmanaged
    {
        // Clamped so that neither the sum nor its reciprocal leaves the normal numbers. The operand order lets NaN through.
        e = Exp2<S, V>(S.MinNative(S.Create(SigmoidRange), S.Sub(S.Zero, x)), new Exp2Unit(Log2E64));
        var sigmoid = S.ReciprocalAboveOne(S.Add(S.Create(1f), e));
        return S.Select(S.LessThan(x, S.Create(-SigmoidRange)), S.Zero, sigmoid);
    }
}
