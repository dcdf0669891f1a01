using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Two sums over the elements of a row, taken in one pass.</summary>
internal interface IRowTerms
{
    /// <summary>Adds the terms of the elements from <paramref name="i"/> on.</summary>
    void Add<S, V>(long i, ref V first, ref V second) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Sums over a row in a fixed order, so that every call gives the same bits.</summary>
internal static class RowSum
{
    // Partial sums are folded every Block elements: the error then grows with n / Block rather than n at every width.
    private const long Block = 512;

    public static (float First, float Second) Over<S, V, K>(K terms, long n)
        where S : struct, ISimd<V>
        where V : unmanaged
        where K : struct, IRowTerms
    {
        int w = S.Width;
        V first = S.Zero, second = S.Zero;
        long i = 0;
        long unrolled = n - (n % (4 * w));
        while (i < unrolled)
        {
            long stop = Math.Min(unrolled, i + Block);
            V a0 = S.Zero, a1 = S.Zero, a2 = S.Zero, a3 = S.Zero;
            V b0 = S.Zero, b1 = S.Zero, b2 = S.Zero, b3 = S.Zero;
            for (; i < stop; i += 4 * w)
            {
                terms.Add<S, V>(i, ref a0, ref b0);
                terms.Add<S, V>(i + w, ref a1, ref b1);
                terms.Add<S, V>(i + (2 * w), ref a2, ref b2);
                terms.Add<S, V>(i + (3 * w), ref a3, ref b3);
            }
            first = S.Add(first, S.Add(S.Add(a0, a1), S.Add(a2, a3)));
            second = S.Add(second, S.Add(S.Add(b0, b1), S.Add(b2, b3)));
        }
        for (; i + w <= n; i += w)
        {
            terms.Add<S, V>(i, ref first, ref second);
        }
        float firstRest = 0, secondRest = 0;
        for (; i < n; i++)
        {
            terms.Add<SimdScalar, float>(i, ref firstRest, ref secondRest);
        }
        return (S.Sum(first) + firstRest, S.Sum(second) + secondRest);
    }
}

/// <summary>A row of any storage type as float32.</summary>
internal static unsafe class RowLoad
{
    /// <summary>The row itself if it is float32 already, else a copy of it in <paramref name="buffer"/>.</summary>
    public static float* Widen<S, V, T>(byte* row, long n, float* buffer)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        if (typeof(T) == typeof(F32))
        {
            return (float*)row;
        }
        long i = 0;
        for (; i + S.Width <= n; i += S.Width)
        {
            S.Store(buffer + i, T.Load<S, V>(row, i));
        }
        for (; i < n; i++)
        {
            buffer[i] = T.Load<SimdScalar, float>(row, i);
        }
        return buffer;
    }
}
