namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Float32 rows in the order in which <see cref="IElement.LoadPair"/> gives the elements of another row: of 16-bit types, each
/// pair of vectors the even ones first, then the odd ones. What is left of the row after the last pair stays as it is.</summary>
/// <remarks>One such copy of a parameter serves many rows, which then need not be put into order themselves.</remarks>
internal static unsafe class PairOrder
{
    /// <summary>The row itself where pairs come in order, else a copy of it in <paramref name="buffer"/>.</summary>
    public static float* Of<S, V, T>(float* row, long n, float* buffer)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : unmanaged, IElement
    {
        if (row == null || T.Size == sizeof(float))
        {
            return row;
        }
        long i = 0;
        for (; i + (2 * S.Width) <= n; i += 2 * S.Width)
        {
            for (int lane = 0; lane < S.Width; lane++)
            {
                buffer[i + lane] = row[i + (2 * lane)];
                buffer[i + S.Width + lane] = row[i + (2 * lane) + 1];
            }
        }
        Buffer.MemoryCopy(row + i, buffer + i, (n - i) * sizeof(float), (n - i) * sizeof(float));
        return buffer;
    }

    /// <summary>Copies a row that is in the order of <typeparamref name="T"/>'s pairs to <paramref name="result"/>, in its own order.</summary>
    public static void Undo<S, V, T>(float* row, long n, float* result)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : unmanaged, IElement
    {
        long i = 0;
        for (; T.Size != sizeof(float) && i + (2 * S.Width) <= n; i += 2 * S.Width)
        {
            for (int lane = 0; lane < S.Width; lane++)
            {
                result[i + (2 * lane)] = row[i + lane];
                result[i + (2 * lane) + 1] = row[i + S.Width + lane];
            }
        }
        Buffer.MemoryCopy(row + i, result + i, (n - i) * sizeof(float), (n - i) * sizeof(float));
    }
}
