using System.Runtime.CompilerServices;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>A count that the JIT knows at compile time, so that one body serves every tile size.</summary>
internal interface IConstant
{
    static abstract int Value { get; }
}

internal readonly struct One : IConstant
{
    public static int Value => 1;
}

internal readonly struct Two : IConstant
{
    public static int Value => 2;
}

internal readonly struct Three : IConstant
{
    public static int Value => 3;
}

internal readonly struct Four : IConstant
{
    public static int Value => 4;
}

internal readonly struct Five : IConstant
{
    public static int Value => 5;
}

internal readonly struct Six : IConstant
{
    public static int Value => 6;
}

/// <summary>The innermost product: R rows of A times C vectors of columns of B, all sums in registers.</summary>
internal static unsafe class GemmTile
{
    /// <summary>Most rows in a tile. With 4 vectors 24 sums, 4 loads of B and one broadcast: 29 of AVX-512's 32
    /// registers; with 2 vectors 15 of the 16 that narrower sets have.</summary>
    public const int MaxRows = 6;

    /// <summary>Vectors of columns in a full tile at one width.</summary>
    public static int MaxVectors(int width) => width == 16 ? 4 : 2;

    /// <summary>sums[r, v] (+)= Σ a[r, k]·b[k, v] over <paramref name="depth"/> values of k.</summary>
    /// <param name="depth">Number of products per sum.</param>
    /// <param name="a">First row; broadcast from memory, element by element.</param>
    /// <param name="rowStep">Bytes from one row of A to the next.</param>
    /// <param name="kStep">Bytes from one k to the next in A.</param>
    /// <param name="b">First vector.</param>
    /// <param name="bStep">Bytes from one k to the next in B.</param>
    /// <param name="vectorStep">Bytes from one vector of columns to the next.</param>
    /// <param name="sums">Result, R rows of C vectors.</param>
    /// <param name="sumStep">Floats from one row of the result to the next.</param>
    /// <param name="add">Adds to the result instead of writing it. Each call sums from zero, so that long sums are
    /// blocked and lose less.</param>
    public static void Run<S, V, R, C>(long depth, byte* a, nint rowStep, nint kStep, byte* b, nint bStep, nint vectorStep, float* sums, nint sumStep, bool add)
        where S : struct, ISimd<V>
        where V : unmanaged
        where R : struct, IConstant
        where C : struct, IConstant
    {
        V s00 = S.Zero, s01 = S.Zero, s02 = S.Zero, s03 = S.Zero;
        V s10 = S.Zero, s11 = S.Zero, s12 = S.Zero, s13 = S.Zero;
        V s20 = S.Zero, s21 = S.Zero, s22 = S.Zero, s23 = S.Zero;
        V s30 = S.Zero, s31 = S.Zero, s32 = S.Zero, s33 = S.Zero;
        V s40 = S.Zero, s41 = S.Zero, s42 = S.Zero, s43 = S.Zero;
        V s50 = S.Zero, s51 = S.Zero, s52 = S.Zero, s53 = S.Zero;
        nint row3 = rowStep * 3, row5 = rowStep * 5, vector3 = vectorStep * 3;
        for (; depth > 0; depth--)
        {
            V b0 = S.Load((float*)b), b1 = default, b2 = default, b3 = default;
            if (C.Value > 1)
            {
                b1 = S.Load((float*)(b + vectorStep));
            }
            if (C.Value > 2)
            {
                b2 = S.Load((float*)(b + (vectorStep * 2)));
            }
            if (C.Value > 3)
            {
                b3 = S.Load((float*)(b + vector3));
            }
            Row<S, V, C>(a, b0, b1, b2, b3, ref s00, ref s01, ref s02, ref s03);
            if (R.Value > 1)
            {
                Row<S, V, C>(a + rowStep, b0, b1, b2, b3, ref s10, ref s11, ref s12, ref s13);
            }
            if (R.Value > 2)
            {
                Row<S, V, C>(a + (rowStep * 2), b0, b1, b2, b3, ref s20, ref s21, ref s22, ref s23);
            }
            if (R.Value > 3)
            {
                Row<S, V, C>(a + row3, b0, b1, b2, b3, ref s30, ref s31, ref s32, ref s33);
            }
            if (R.Value > 4)
            {
                Row<S, V, C>(a + (rowStep * 4), b0, b1, b2, b3, ref s40, ref s41, ref s42, ref s43);
            }
            if (R.Value > 5)
            {
                Row<S, V, C>(a + row5, b0, b1, b2, b3, ref s50, ref s51, ref s52, ref s53);
            }
            a += kStep;
            b += bStep;
        }
        Finish<S, V, C>(sums, add, s00, s01, s02, s03);
        if (R.Value > 1)
        {
            Finish<S, V, C>(sums + sumStep, add, s10, s11, s12, s13);
        }
        if (R.Value > 2)
        {
            Finish<S, V, C>(sums + (2 * sumStep), add, s20, s21, s22, s23);
        }
        if (R.Value > 3)
        {
            Finish<S, V, C>(sums + (3 * sumStep), add, s30, s31, s32, s33);
        }
        if (R.Value > 4)
        {
            Finish<S, V, C>(sums + (4 * sumStep), add, s40, s41, s42, s43);
        }
        if (R.Value > 5)
        {
            Finish<S, V, C>(sums + (5 * sumStep), add, s50, s51, s52, s53);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Row<S, V, C>(byte* a, V b0, V b1, V b2, V b3, ref V s0, ref V s1, ref V s2, ref V s3)
        where S : struct, ISimd<V>
        where V : unmanaged
        where C : struct, IConstant
    {
        var x = S.Create(*(float*)a);
        s0 = S.Fma(x, b0, s0);
        if (C.Value > 1)
        {
            s1 = S.Fma(x, b1, s1);
        }
        if (C.Value > 2)
        {
            s2 = S.Fma(x, b2, s2);
        }
        if (C.Value > 3)
        {
            s3 = S.Fma(x, b3, s3);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<S, V, C>(float* sums, bool add, V s0, V s1, V s2, V s3)
        where S : struct, ISimd<V>
        where V : unmanaged
        where C : struct, IConstant
    {
        Finish<S, V>(sums, add, s0);
        if (C.Value > 1)
        {
            Finish<S, V>(sums + S.Width, add, s1);
        }
        if (C.Value > 2)
        {
            Finish<S, V>(sums + (2 * S.Width), add, s2);
        }
        if (C.Value > 3)
        {
            Finish<S, V>(sums + (3 * S.Width), add, s3);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<S, V>(float* p, bool add, V sum) where S : struct, ISimd<V> where V : unmanaged =>
        S.Store(p, add ? S.Add(S.Load(p), sum) : sum);
}
