using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Row work between the matrix products of attention. Scores are in units of log2.</summary>
internal static unsafe class AttentionScores
{
    // Channels summed in one chain: longer ones lose more than stock's.
    private const int DepthBlock = 128;

    /// <summary>Rows times packed columns [first, first + count): scores, or dO·Vᵀ.</summary>
    public static void Multiply<S, V>(float* rows, int step, int count, PackedMatrix columns, long first, int columnCount, float* to, int toStep) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long d = 0; d < columns.Depth; d += DepthBlock)
        {
            var from = columns.Data + (first * columns.Depth) + (d * PackedMatrix.PanelColumns);
            GemmTiles.Run<S, V>(new(rows + d, step, 1), count, from, columns.Depth, Math.Min(DepthBlock, columns.Depth - d), columnCount, to, toStep, add: d > 0);
        }
    }

    /// <summary>Rows of a block times scale·log2(e), as float32.</summary>
    public static void ScaleQueries<S, V>(in AttentionProblem p, MatrixView q, long first, long rows, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        int step = p.PaddedWidth;
        V unit = S.Create(p.Unit), rest = S.Create(p.UnitRest);
        for (long r = 0; r < rows; r++)
        {
            var row = to + (r * step);
            q.CopyRow<S, V>(first + r, 0, p.Width, row);
            for (int d = 0; d < p.Width; d += S.Width)
            {
                var x = S.Load(row + d);
                S.Store(row + d, S.Fma(x, unit, S.Mul(x, rest)));
            }
        }
    }

    /// <summary>Adds the mask and hides what lies after the diagonal or after the last key.</summary>
    /// <param name="p">The problem.</param>
    /// <param name="scores">One row, padded to full vectors.</param>
    /// <param name="b">Sequence.</param>
    /// <param name="h">Query head.</param>
    /// <param name="i">Query.</param>
    /// <param name="firstKey">Key of scores[0].</param>
    /// <param name="keys">Valid scores.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Hide<S, V>(in AttentionProblem p, float* scores, long b, long h, long i, long firstKey, int keys) where S : struct, ISimd<V> where V : unmanaged
    {
        if (p.Mask.Exists)
        {
            p.Mask.AddTo<S, V>(scores, b, h, i, firstKey, keys, AttentionProblem.Log2E);
        }
        int visible = p.Causal ? (int)Math.Clamp(i + 1 - firstKey, 0, keys) : keys;
        int padded = (keys + S.Width - 1) & -S.Width;
        for (int j = visible; j < padded; j++)
        {
            scores[j] = float.NegativeInfinity;
        }
    }

    /// <summary>One step of the online softmax of a row: scores become 2^(score − max).</summary>
    /// <param name="scores">One row, padded with −∞ to full vectors.</param>
    /// <param name="keys">Valid scores.</param>
    /// <param name="max">Largest score so far; −∞ at the beginning and while everything was masked.</param>
    /// <param name="sum">Sum of the powers so far.</param>
    /// <returns>What earlier results must be multiplied by; 1 where the maximum did not move.</returns>
    public static float Exponentiate<S, V>(float* scores, int keys, ref float max, ref float sum) where S : struct, ISimd<V> where V : unmanaged
    {
        var largest = S.Load(scores);
        for (int j = S.Width; j < keys; j += S.Width)
        {
            largest = S.MaxNative(largest, S.Load(scores + j));
        }
        float correction = 1, block = S.HorizontalMax(largest);
        if (block > max)
        {
            correction = SimdMath.Exp2<SimdScalar, float>(max - block);
            sum *= correction;
            max = block;
        }
        // Fully masked so far: 2^(−∞ − 0) = 0 instead of 2^(−∞ + ∞).
        var origin = S.Create(float.IsNegativeInfinity(max) ? 0 : max);
        var total = S.Zero;
        for (int j = 0; j < keys; j += S.Width)
        {
            var power = SimdMath.Exp2<S, V>(S.Sub(S.Load(scores + j), origin));
            S.Store(scores + j, power);
            total = S.Add(total, power);
        }
        sum += S.Sum(total);
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

    /// <summary>dots[i] = Σ over d of a[i, d]·b[i, d].</summary>
    /// <remarks>Sums are made in the order of <see cref="Multiply"/>. Where one key has all the
    /// weight, dO·V and dO·O are then the same number, and their difference is 0 rather than what rounding left.
    /// Four rows at a time, because a chain waits for each of its sums.</remarks>
    public static void RowDots<S, V>(float* a, int step, MatrixView b, float* scratch, float* dots) where S : struct, ISimd<V> where V : unmanaged
    {
        const int Rows = 4;
        int width = (int)b.Columns;
        for (long i = 0; i < b.Rows; i += Rows)
        {
            // The last group repeats its last row.
            long last = b.Rows - 1, i1 = Math.Min(i + 1, last), i2 = Math.Min(i + 2, last), i3 = Math.Min(i + 3, last);
            float* b0 = scratch, b1 = b0 + width, b2 = b1 + width, b3 = b2 + width;
            b.CopyRow<S, V>(i, 0, width, b0);
            b.CopyRow<S, V>(i1, 0, width, b1);
            b.CopyRow<S, V>(i2, 0, width, b2);
            b.CopyRow<S, V>(i3, 0, width, b3);
            float* a0 = a + (i * step), a1 = a + (i1 * step), a2 = a + (i2 * step), a3 = a + (i3 * step);
            float t0 = 0, t1 = 0, t2 = 0, t3 = 0;
            for (int block = 0; block < width; block += DepthBlock)
            {
                float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                for (int d = block; d < Math.Min(width, block + DepthBlock); d++)
                {
                    s0 = MathF.FusedMultiplyAdd(a0[d], b0[d], s0);
                    s1 = MathF.FusedMultiplyAdd(a1[d], b1[d], s1);
                    s2 = MathF.FusedMultiplyAdd(a2[d], b2[d], s2);
                    s3 = MathF.FusedMultiplyAdd(a3[d], b3[d], s3);
                }
                (t0, t1, t2, t3) = (t0 + s0, t1 + s1, t2 + s2, t3 + s3);
            }
            dots[i] = t0;
            dots[i1] = t1;
            dots[i2] = t2;
            dots[i3] = t3;
        }
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
