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
    private const int Unroll = 4;
    private const int StepsPerBlock = 8;

    public static (float First, float Second) Over<S, V, K>(K terms, long n)
        where S : struct, ISimd<V>
        where V : unmanaged
        where K : struct, IRowTerms
    {
        int w = S.Width;
        // Short plain sums, folded with compensation: the error does not grow with the row, also where one lane takes all.
        long block = StepsPerBlock * Unroll * w;
        V first = S.Zero, firstLost = S.Zero, second = S.Zero, secondLost = S.Zero;
        long i = 0;
        long unrolled = n - (n % (Unroll * w));
        while (i < unrolled)
        {
            long stop = Math.Min(unrolled, i + block);
            V a0 = S.Zero, a1 = S.Zero, a2 = S.Zero, a3 = S.Zero;
            V b0 = S.Zero, b1 = S.Zero, b2 = S.Zero, b3 = S.Zero;
            for (; i < stop; i += Unroll * w)
            {
                terms.Add<S, V>(i, ref a0, ref b0);
                terms.Add<S, V>(i + w, ref a1, ref b1);
                terms.Add<S, V>(i + (2 * w), ref a2, ref b2);
                terms.Add<S, V>(i + (3 * w), ref a3, ref b3);
            }
            Fold<S, V>(ref first, ref firstLost, S.Add(S.Add(a0, a1), S.Add(a2, a3)));
            Fold<S, V>(ref second, ref secondLost, S.Add(S.Add(b0, b1), S.Add(b2, b3)));
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

    // Source: Kahan 1965. An infinite sum would turn into NaN through inf − inf: what was lost then stays zero.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Fold<S, V>(ref V sum, ref V lost, V value) where S : struct, ISimd<V> where V : unmanaged
    {
        var term = S.Sub(value, lost);
        var next = S.Add(sum, term);
        lost = S.Sub(S.Sub(next, sum), term);
        lost = S.Select(S.Equal(lost, lost), lost, S.Zero);
        sum = next;
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
