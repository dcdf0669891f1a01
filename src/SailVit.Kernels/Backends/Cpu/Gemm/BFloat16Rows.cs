using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>Rows of bfloat16 as <see cref="BFloat16Product"/> reads them. Widths are multiples of 16.</summary>
internal static unsafe class BFloat16Rows
{
    private const uint Sign = 0x80008000;

    /// <summary>Copies rows [first, first + count) of a bfloat16 matrix, adjacent and with zeros up to <paramref name="step"/> columns
    /// and <paramref name="padded"/> rows.</summary>
    public static void Copy(MatrixView from, long first, long count, long padded, int step, bool negate, ushort* to)
    {
        int width = (int)from.Columns;
        for (long r = 0; r < count; r++)
        {
            var row = to + (r * step);
            var source = (ushort*)from.At(first + r, 0);
            if (from.ColumnStride == 1)
            {
                new Span<ushort>(source, width).CopyTo(new(row, width));
            }
            else
            {
                for (int d = 0; d < width; d++)
                {
                    row[d] = source[d * from.ColumnStride];
                }
            }
            new Span<ushort>(row + width, step - width).Clear();
            for (int d = 0; negate && d < step / 2; d++)
            {
                ((uint*)row)[d] ^= Sign;
            }
        }
        for (long r = count; r < padded; r++)
        {
            new Span<ushort>(to + (r * step), step).Clear();
        }
    }

    /// <summary>A right matrix whose rows are <paramref name="rows"/> (an even number of them): [rows/2, step] pairs.</summary>
    public static void Pair<S, V>(ushort* rows, long count, int step, ushort* to) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long r = 0; r < count; r += 2)
        {
            ushort* even = rows + (r * step), odd = even + step;
            var pairs = (float*)(to + (r * step));
            for (int d = 0; d < step; d += S.Width)
            {
                S.Store(pairs + d, S.Or(S.LoadU16(even + d), S.ShiftLeft(S.LoadU16(odd + d), 16)));
            }
        }
    }

    /// <summary>A right matrix whose columns are <paramref name="rows"/>: strips of 64 columns, [step/2, 64] pairs each.</summary>
    /// <remarks>A pair is one word: words are transposed, as the float32 product's are.</remarks>
    public static void PairTransposed(ushort* rows, long count, int step, ushort* to)
    {
        int words = step / 2;
        for (long strip = 0; strip < count; strip += PackedMatrix.StripColumns)
        {
            var from = (uint*)rows + (strip * words);
            var pairs = (uint*)to + (strip * words);
            for (int d = 0; d < words; d++)
            {
                for (int r = 0; r < PackedMatrix.StripColumns; r++)
                {
                    pairs[(d * PackedMatrix.StripColumns) + r] = from[(r * words) + d];
                }
            }
        }
    }

    /// <summary>to[d, r] = rows[r, d].</summary>
    public static void Transpose(ushort* rows, int count, int step, ushort* to)
    {
        for (int d = 0; d < step; d++)
        {
            for (int r = 0; r < count; r++)
            {
                to[(d * count) + r] = rows[(r * step) + d];
            }
        }
    }

    /// <summary>Rounds float32, whose last vector is full, to bfloat16, and clears what is left of a row.</summary>
    public static void Round<S, V>(float* from, int count, int step, ushort* to) where S : struct, ISimd<V> where V : unmanaged
    {
        int j = 0;
        for (; j < count; j += S.Width)
        {
            Bf16.Store<S, V>(to, j, S.Load(from + j));
        }
        new Span<ushort>(to + j, step - j).Clear();
    }
}
