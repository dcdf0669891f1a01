using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Elementary functions in float32, one body for every vector width.</summary>
internal static class SimdMath
{
    private const float Log2E = 1.44269504088896341f;
    private const float Ln2High = 0.693145751953125f;
    private const float Ln2Low = 1.42860682030941723e-6f;

    /// <summary>e^x. Below −87.33 the result is 0 (no subnormals), above 88.72 infinity, NaN stays NaN.</summary>
    /// <remarks>x = n·ln 2 + r with |r| ≤ ln 2 / 2; the polynomial is the degree-6 minimax fit of (e^r − 1 − r) / r² of
    /// Cephes (S. Moshier, expf); error below 1 ulp over the range.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged
    {
        var n = S.Round(S.Mul(x, S.Create(Log2E)));
        // Clamped so that 2^n can be built from its bits; the true extremes are selected at the end. NaN passes through r.
        n = S.Max(S.Min(n, S.Create(128f)), S.Create(-127f));
        var r = S.NegFma(n, S.Create(Ln2High), x);
        r = S.NegFma(n, S.Create(Ln2Low), r);
        var p = S.Create(1.9875691500e-4f);
        p = S.Fma(p, r, S.Create(1.3981999507e-3f));
        p = S.Fma(p, r, S.Create(8.3334519073e-3f));
        p = S.Fma(p, r, S.Create(4.1665795894e-2f));
        p = S.Fma(p, r, S.Create(1.6666665459e-1f));
        p = S.Fma(p, r, S.Create(5.0000001201e-1f));
        p = S.Fma(p, S.Mul(r, r), S.Add(r, S.Create(1f)));
        // 2^128 overflows the exponent field: scale by 2^(n−1)·2.
        var scale = S.Exp2Integer(S.Sub(n, S.Create(1f)));
        var y = S.Mul(S.Mul(p, S.Create(2f)), scale);
        y = S.Select(S.LessThan(x, S.Create(-87.33654f)), S.Zero, y);
        return S.Select(S.LessThan(S.Create(88.722839f), x), S.Create(float.PositiveInfinity), y);
    }

    /// <summary>1 / (1 + e^−x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid<S, V>(V x) where S : struct, ISimd<V> where V : unmanaged =>
        S.Div(S.Create(1f), S.Add(S.Create(1f), Exp<S, V>(S.Sub(S.Zero, x))));
}
