namespace SailVit.Kernels.Backends.Cpu;

/// <summary>The part of <see cref="ISimd{V}"/> that also vectors of a device have: arithmetic, no memory.</summary>
internal interface IVectorMath<V> where V : unmanaged
{
    static abstract V Create(float value);
    static abstract V Mul(V a, V b);

    /// <summary>a·b + c, rounded once.</summary>
    static abstract V Fma(V a, V b, V c);

    /// <summary>c − a·b, rounded once.</summary>
    static abstract V NegFma(V a, V b, V c);

    /// <summary>The larger of two, in one instruction; with a NaN, either.</summary>
    static abstract V MaxNative(V a, V b);

    /// <summary>Nearest integer, ties to even.</summary>
    static abstract V Round(V a);

    /// <summary>a·2^n for integral n in [-200, 127] and a near 1; below 2^-126 the result may be 0.</summary>
    static abstract V ScaleExp2(V a, V n);
}
