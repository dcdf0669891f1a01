using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>How many items of a given size make a range worth handing to a thread.</summary>
internal static class RowGrain
{
    private const long Elements = 16384;

    public static long Of(long elementsPerItem) => Math.Max(1, Elements / Math.Max(elementsPerItem, 1));
}

/// <summary>Rows cut into chunks for a sum over rows. The cut depends on the number of rows alone, so that the result does
/// not depend on the number of threads.</summary>
internal readonly record struct RowChunks(long Count, long RowsPerChunk)
{
    private const long MaxChunks = 64;
    private const long MinRowsPerChunk = 16;

    public static RowChunks Of(long rows)
    {
        long perChunk = Math.Max(MinRowsPerChunk, (rows + MaxChunks - 1) / MaxChunks);
        return new((rows + perChunk - 1) / perChunk, perChunk);
    }
}

/// <summary>Adds partial sums of chunks in chunk order: the deterministic end of a reduction over rows.</summary>
internal static unsafe class SumChunks
{
    // Columns of one work item.
    private const long Columns = 256;

    /// <summary>result[i] = Σ over c of source[c · stride + i], for i below width, summed in float32 in the order of c.</summary>
    public static void Run(void* source, DType sourceType, long chunks, long stride, void* result, DType resultType, long width) =>
        ElementDispatch.For(sourceType, new Call((byte*)source, chunks, stride, (byte*)result, resultType, width));

    private readonly struct Call(byte* source, long chunks, long stride, byte* result, DType resultType, long width) : IElementCall
    {
        public void Invoke<A>() where A : unmanaged, IElement => ElementDispatch.For(resultType, new To<A>(source, chunks, stride, result, width));
    }

    private readonly struct To<A>(byte* source, long chunks, long stride, byte* result, long width) : IElementCall where A : unmanaged, IElement
    {
        public void Invoke<T>() where T : unmanaged, IElement
        {
            long items = (width + Columns - 1) / Columns;
            CpuBackend.Run(new Kernel<A, T>(source, chunks, stride, result, width), items, RowGrain.Of(Columns * chunks));
        }
    }

    private readonly struct Kernel<A, T>(byte* source, long chunks, long stride, byte* result, long width) : ICpuKernel
        where A : unmanaged, IElement
        where T : unmanaged, IElement
    {
        public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
        {
            float* sums = stackalloc float[(int)Columns];
            for (long item = begin; item < end; item++)
            {
                long first = item * Columns, columns = Math.Min(Columns, width - first);
                new Span<float>(sums, (int)columns).Clear();
                for (long chunk = 0; chunk < chunks; chunk++)
                {
                    Add<S, V>(sums, (chunk * stride) + first, columns);
                }
                RowStore.Run<S, V, T>(sums, (int)columns, result, first);
            }
        }

        // Along a chunk's columns, not down the chunks: those lie pages apart, where nothing is fetched ahead.
        private void Add<S, V>(float* sums, long from, long columns) where S : struct, ISimd<V> where V : unmanaged
        {
            long i = 0;
            for (; i + S.Width <= columns; i += S.Width)
            {
                S.Store(sums + i, S.Add(S.Load(sums + i), A.Load<S, V>(source, from + i)));
            }
            for (; i < columns; i++)
            {
                sums[i] += A.Load<SimdScalar, float>(source, from + i);
            }
        }
    }
}
