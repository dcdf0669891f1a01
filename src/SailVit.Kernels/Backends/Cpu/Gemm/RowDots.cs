namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Products of a few float32 rows with many rows of any type, each of which is read once, where it lies.</summary>
internal static unsafe class RowDots
{
    // Rows side by side: their chains hide each other's latency.
    private const int Together = 4;

    /// <summary>to[r, j] = Σ x[r, k]·w[first + j, k].</summary>
    /// <param name="x">The few rows.</param>
    /// <param name="xStep">Floats from one to the next.</param>
    /// <param name="rows">How many.</param>
    /// <param name="w">The many; their elements are adjacent.</param>
    /// <param name="first">First of them.</param>
    /// <param name="count">How many.</param>
    /// <param name="chain">Products per running sum of a vector's lanes.</param>
    /// <param name="to">Result; of each row up to three floats more are written than are asked for.</param>
    /// <param name="toStep">Floats from one row of the result to the next.</param>
    public static void Run<T, S, V>(float* x, long xStep, long rows, MatrixView w, long first, int count, long chain, float* to, int toStep)
        where T : unmanaged, IElement
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        for (int j = 0; j < count; j += Together)
        {
            // Past the last row it is read again; nobody reads that sum.
            byte* w0 = w.At(first + j, 0), w1 = w.At(first + Math.Min(j + 1, count - 1), 0);
            byte* w2 = w.At(first + Math.Min(j + 2, count - 1), 0), w3 = w.At(first + Math.Min(j + 3, count - 1), 0);
            for (long r = 0; r < rows; r++)
            {
                Dot<T, S, V>(x + (r * xStep), w0, w1, w2, w3, w.Columns, chain, to + (r * toStep) + j);
            }
        }
    }

    private static void Dot<T, S, V>(float* x, byte* w0, byte* w1, byte* w2, byte* w3, long depth, long chain, float* to)
        where T : unmanaged, IElement
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        V t0 = S.Zero, t1 = S.Zero, t2 = S.Zero, t3 = S.Zero;
        long k = 0, whole = depth - (depth % S.Width);
        while (k < whole)
        {
            V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
            for (long end = Math.Min(whole, k + chain); k < end; k += S.Width)
            {
                var v = S.Load(x + k);
                s0 = S.Fma(v, T.Load<S, V>(w0, k), s0);
                s1 = S.Fma(v, T.Load<S, V>(w1, k), s1);
                s2 = S.Fma(v, T.Load<S, V>(w2, k), s2);
                s3 = S.Fma(v, T.Load<S, V>(w3, k), s3);
            }
            (t0, t1, t2, t3) = (S.Add(t0, s0), S.Add(t1, s1), S.Add(t2, s2), S.Add(t3, s3));
        }
        float r0 = S.Sum(t0), r1 = S.Sum(t1), r2 = S.Sum(t2), r3 = S.Sum(t3);
        for (; k < depth; k++)
        {
            r0 = MathF.FusedMultiplyAdd(x[k], T.Load<SimdScalar, float>(w0, k), r0);
            r1 = MathF.FusedMultiplyAdd(x[k], T.Load<SimdScalar, float>(w1, k), r1);
            r2 = MathF.FusedMultiplyAdd(x[k], T.Load<SimdScalar, float>(w2, k), r2);
            r3 = MathF.FusedMultiplyAdd(x[k], T.Load<SimdScalar, float>(w3, k), r3);
        }
        (to[0], to[1], to[2], to[3]) = (r0, r1, r2, r3);
    }
}
