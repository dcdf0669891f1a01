using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Row work between the matrix products of attention. </summary>
internal static unsafe class AttentionScores
{
    /// <summary>Channels of Q·Kᵀ summed in one chain: longer ones lose more than stock's.</summary>
    public const int ScoreDepth = 32;

    /// <summary>Channels of dO·Vᵀ summed in one chain: what is left of it after subtracting Δ can be small.</summary>
    public const int SlopeDepth = 16;

    /// <summary>Keys of P·V summed in one chain: probabilities have one sign, so that a long chain's rounding grows.</summary>
    public const int ValueDepth = 32;

    /// <summary>Rows times packed columns [first, first + count): scores, or dO·Vᵀ.</summary>
    public static void Multiply<S, V>(float* rows, int step, int count, PackedMatrix columns, long first, int columnCount, float* to, int toStep, int depthBlock) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long d = 0; d < columns.Depth; d += depthBlock)
        {
            GemmTiles.Run<S, V>(new(rows + d, step, 1), count, columns.Block(first / PackedMatrix.StripColumns, d), Math.Min(depthBlock, columns.Depth - d), columnCount, to, toStep, add: d > 0);
        }
    }

    /// <summary>Rows of a block as float32, with the sign of the scale.</summary>
    public static void CopyQueries<S, V>(in AttentionProblem p, MatrixView q, long first, long rows, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        int step = p.PaddedWidth;
        for (long r = 0; r < rows; r++)
        {
            var row = to + (r * step);
            q.CopyRow<S, V>(first + r, 0, p.Width, row);
            if (p.QuerySign < 0)
            {
                Scale<S, V>(row, p.Width, -1);
            }
        }
    }

    /// <summary>Scales if that is not left to the power, adds the mask and hides what lies after the diagonal or after the last key.</summary>
    /// <param name="p">The problem.</param>
    /// <param name="scores">One row, padded to full vectors.</param>
    /// <param name="b">Sequence.</param>
    /// <param name="h">Query head.</param>
    /// <param name="i">Query.</param>
    /// <param name="firstKey">Key of scores[0].</param>
    /// <param name="keys">Valid scores.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Mask<S, V>(in AttentionProblem p, float* scores, long b, long h, long i, long firstKey, int keys) where S : struct, ISimd<V> where V : unmanaged
    {
        if (p.ScalesScores && !p.Mask.IsAdditive)
        {
            Scale<S, V>(scores, keys, p.Magnitude);
        }
        if (p.Mask.Exists)
        {
            p.Mask.AddTo<S, V>(scores, b, h, i, firstKey, keys, p.Magnitude);
        }
        int padded = (keys + S.Width - 1) & -S.Width;
        for (int j = Visible(p, b, i, firstKey, keys); j < padded; j++)
        {
            scores[j] = float.NegativeInfinity;
        }
    }

    // Of a block of keys, how many lie before the diagonal.
    private static int Visible(in AttentionProblem p, long b, long i, long firstKey, int keys) =>
        p.Causal ? (int)Math.Clamp(p.Sequences[b].KeysBefore + i + 1 - firstKey, 0, keys) : keys;

    /// <summary>Sets the gradient of hidden scores, which are constants, to 0 where 0 · dP is not: in rows that are not finite.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void ClearHidden<S, V>(in AttentionProblem p, float* slopes, long b, long h, long i, long firstKey, int keys) where S : struct, ISimd<V> where V : unmanaged
    {
        int visible = Visible(p, b, i, firstKey, keys);
        new Span<float>(slopes + visible, keys - visible).Clear();
        if (!p.Mask.Exists || p.Mask.IsAdditive)
        {
            return;
        }
        float* hidden = stackalloc float[AttentionBackward.KeyBlock];
        new Span<float>(hidden, AttentionBackward.KeyBlock).Clear();
        p.Mask.AddTo<S, V>(hidden, b, h, i, firstKey, keys, 1);
        for (int j = 0; j < visible; j++)
        {
            slopes[j] = hidden[j] < 0 ? 0 : slopes[j];
        }
    }

    /// <summary>One step of the online softmax of a row: scores become powers of score − max.</summary>
    /// <param name="scores">One row, padded with −∞ to full vectors.</param>
    /// <param name="keys">Valid scores.</param>
    /// <param name="unit">From scores to powers of two.</param>
    /// <param name="max">Largest score so far; −∞ at the beginning and while everything was masked.</param>
    /// <param name="sum">Sum of the powers so far.</param>
    /// <returns>What earlier results must be multiplied by; 1 where the maximum did not move.</returns>
    public static float Exponentiate<S, V>(float* scores, int keys, in Exp2Unit unit, ref float max, ref float sum) where S : struct, ISimd<V> where V : unmanaged
    {
        var largest = S.Load(scores);
        for (int j = S.Width; j < keys; j += S.Width)
        {
            largest = S.MaxNative(largest, S.Load(scores + j));
        }
        float correction = 1, block = S.HorizontalMax(largest);
        if (block > max)
        {
            correction = SimdMath.Exp2<SimdScalar, float>(max - block, unit);
            sum *= correction;
            max = block;
        }
        // Fully masked so far: 2^(−∞ − 0) = 0 instead of 2^(−∞ + ∞).
        var origin = S.Create(float.IsNegativeInfinity(max) ? 0 : max);
        // Two chains of sums, so that neither is long at narrow widths.
        V even = S.Zero, odd = S.Zero;
        int j1 = 0;
        for (; j1 + S.Width < keys; j1 += 2 * S.Width)
        {
            var first = SimdMath.Exp2<S, V>(S.Sub(S.Load(scores + j1), origin), unit);
            var second = SimdMath.Exp2<S, V>(S.Sub(S.Load(scores + j1 + S.Width), origin), unit);
            S.Store(scores + j1, first);
            S.Store(scores + j1 + S.Width, second);
            even = S.Add(even, first);
            odd = S.Add(odd, second);
        }
        if (j1 < keys)
        {
            var last = SimdMath.Exp2<S, V>(S.Sub(S.Load(scores + j1), origin), unit);
            S.Store(scores + j1, last);
            even = S.Add(even, last);
        }
        sum += S.Sum(S.Add(even, odd));
        return correction;
    }

    /// <summary>row *= factor.</summary>
    public static void Scale<S, V>(float* row, int width, float factor) where S : struct, ISimd<V> where V : unmanaged
    {
        var f = S.Create(factor);
        for (int d = 0; d < width; d += S.Width)
        {
            S.Store(row + d, S.Mul(S.Load(row + d), f));
        }
    }

    /// <summary>Σ a·b in the order of dO·Vᵀ, to the bit.</summary>
    public static float DotAsMultiplied(float* a, float* b, int width)
    {
        float total = 0;
        for (int block = 0; block < width; block += SlopeDepth)
        {
            float sum = 0;
            for (int d = block; d < Math.Min(width, block + SlopeDepth); d++)
            {
                sum = MathF.FusedMultiplyAdd(a[d], b[d], sum);
            }
            total += sum;
        }
        return total;
    }

    /// <summary>Σ a·b rounded once. Two chains, because each sum waits for the one before.</summary>
    public static float DotInDouble(float* a, float* b, int width)
    {
        double even = 0, odd = 0;
        int d = 0;
        for (; d + 1 < width; d += 2)
        {
            even += (double)a[d] * b[d];
            odd += (double)a[d + 1] * b[d + 1];
        }
        return (float)(even + odd + (d < width ? (double)a[d] * b[d] : 0));
    }

    /// <summary>Σ a·b over full vectors and the rest, in four chains so that none is long.</summary>
    public static float Dot<S, V>(float* a, float* b, int count) where S : struct, ISimd<V> where V : unmanaged
    {
        V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
        int j = 0;
        for (; j + (4 * S.Width) <= count; j += 4 * S.Width)
        {
            s0 = S.Fma(S.Load(a + j), S.Load(b + j), s0);
            s1 = S.Fma(S.Load(a + j + S.Width), S.Load(b + j + S.Width), s1);
            s2 = S.Fma(S.Load(a + j + (2 * S.Width)), S.Load(b + j + (2 * S.Width)), s2);
            s3 = S.Fma(S.Load(a + j + (3 * S.Width)), S.Load(b + j + (3 * S.Width)), s3);
        }
        float total = S.Sum(S.Add(S.Add(s0, s1), S.Add(s2, s3)));
        for (; j < count; j++)
        {
            total = MathF.FusedMultiplyAdd(a[j], b[j], total);
        }
        return total;
    }

    /// <summary>Stores factor·row; rows of outputs have adjacent channels.</summary>
    public static void Store<S, V>(MatrixView to, long row, float* from, float factor) where S : struct, ISimd<V> where V : unmanaged
    {
        switch (to.DType)
        {
            case Interop.DType.Float32:
                Store<S, V, F32>(to, row, from, factor);
                break;
            case Interop.DType.BFloat16:
                Store<S, V, Bf16>(to, row, from, factor);
                break;
            default:
                Store<S, V, F16>(to, row, from, factor);
                break;
        }
    }

    private static void Store<S, V, T>(MatrixView to, long row, float* from, float factor)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        var at = to.At(row, 0);
        var f = S.Create(factor);
        long d = 0;
        for (; d + S.Width <= to.Columns; d += S.Width)
        {
            T.Store<S, V>(at, d, S.Mul(S.Load(from + d), f));
        }
        for (; d < to.Columns; d++)
        {
            T.Store<SimdScalar, float>(at, d, from[d] * factor);
        }
    }
}
