namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Float32 vector operations at one width; V is the vector itself (Vector512, 256, 128 or a single float).</summary>
/// <remarks>
/// A kernel body is written once, generic over (S, V), and the JIT specialises it for each struct pair. V stays a plain
/// vector type (not a wrapper), so that two dozen accumulators live in registers.
/// Masks are vectors with all bits set or clear, as the comparisons return them.
/// </remarks>
internal unsafe interface ISimd<V> : IVectorMath<V> where V : unmanaged
{
    /// <summary>Lanes in V.</summary>
    static abstract int Width { get; }

    static abstract V Zero { get; }
    static abstract V Load(float* p);
    static abstract void Store(float* p, V v);

    /// <summary>Stores without reading the line into the cache first; p must be aligned to V's size.</summary>
    static abstract void StoreNonTemporal(float* p, V v);

    /// <summary>Loads Width 16-bit patterns into the low halves of lanes.</summary>
    static abstract V LoadU16(ushort* p);

    /// <summary>Stores the low 16 bits of each lane.</summary>
    static abstract void StoreU16(ushort* p, V bits);

    /// <summary>Loads Width bytes as 0 … 255.</summary>
    static abstract V LoadU8(byte* p);

    static abstract V Add(V a, V b);
    static abstract V Sub(V a, V b);
    static abstract V Div(V a, V b);

    /// <summary>1 / a for a from 1 to 2^126; error below 0.55 ulp. Division is the slowest instruction of an activation.</summary>
    static abstract V ReciprocalAboveOne(V a);

    /// <summary>The larger of two; NaN if either is NaN.</summary>
    static abstract V Max(V a, V b);

    /// <summary>The smaller of two; NaN if either is NaN.</summary>
    static abstract V Min(V a, V b);

    /// <summary>The smaller of two, in one instruction; with a NaN, either.</summary>
    static abstract V MinNative(V a, V b);

    /// <summary>table[i] in each lane, with i in the lane's low four bits; of a NaN, any of the sixteen.</summary>
    static abstract V Lookup16(ref float table, V i);

    static abstract V Abs(V a);
    static abstract V Sqrt(V a);

    /// <summary>2^n for integral n in [-126, 127], built from its bits.</summary>
    static abstract V Exp2Integer(V n);

    /// <summary>a·2^n for integral n, where a and the result are normal numbers; anything outside.</summary>
    static abstract V Scale(V a, V n);

    /// <summary>A 32-bit pattern in every lane.</summary>
    static abstract V Bits(uint pattern);

    static abstract V And(V a, V b);
    static abstract V Or(V a, V b);

    /// <summary>Sum of the patterns as integers.</summary>
    static abstract V AddBits(V a, V b);

    static abstract V ShiftLeft(V a, int bits);
    static abstract V ShiftRight(V a, int bits);

    /// <summary>Shifts right and fills with the sign.</summary>
    static abstract V ShiftRightSigned(V a, int bits);

    static abstract V LessThan(V a, V b);
    static abstract V Equal(V a, V b);

    /// <summary>Lane-wise mask ? a : b.</summary>
    static abstract V Select(V mask, V a, V b);

    /// <summary>Whether any bit of a mask is set.</summary>
    static abstract bool Any(V mask);

    /// <summary>Whether any lane is NaN.</summary>
    static abstract bool AnyNaN(V a);

    /// <summary>Sum over lanes, always in the same tree order.</summary>
    static abstract float Sum(V a);

    /// <summary>Largest lane.</summary>
    static abstract float HorizontalMax(V a);
}
