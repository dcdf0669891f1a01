using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>A few rows times the rows of one or two matrices, A·Wᵀ, each read once as it lies: nothing is packed.</summary>
/// <remarks>Items are strips of 64 rows of W. Such a product takes as long as reading W takes, so 16-bit weights cost half
/// of float32 ones. Sums over K are made in blocks of fixed length, so the result does not depend on the number of threads.</remarks>
internal readonly unsafe struct FewRowsKernel<T, E>(MatrixView left, MatrixView first, MatrixView second, E epilogue) : ICpuKernel
    where T : unmanaged, IElement
    where E : unmanaged, IEpilogue
{
    // Vectors per chain of sums: longer ones lose more than stock's.
    private const int ChainLength = 32;

    // Rows of W side by side: their chains hide each other's latency.
    private const int Together = 4;

    private readonly MatrixView _left = left;
    private readonly MatrixView _first = first;
    private readonly MatrixView _second = second;
    private readonly E _epilogue = epilogue;

    public long Items => PackedMatrix.StripsOf(_first.Rows);

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long rows = _left.Rows, depth = _first.Columns;
        int matrices = _second.Data == null ? 1 : 2, sumStep = matrices * PackedMatrix.StripColumns;
        var operand = new LeftRows(_left);
        using var scratch = Workspace.Rent(operand.ScratchFloats(rows, depth, depth) * sizeof(float));
        using var lease = Workspace.Rent(rows * sumStep * sizeof(float));
        var x = operand.Block<S, V>(0, rows, depth, depth, scratch.Floats);
        for (long strip = begin; strip < end; strip++)
        {
            long column = strip * PackedMatrix.StripColumns;
            int columns = (int)Math.Min(PackedMatrix.StripColumns, _first.Rows - column);
            for (int m = 0; m < matrices; m++)
            {
                Multiply<S, V>(x, rows, m == 0 ? _first : _second, column, columns, lease.Floats + (m * PackedMatrix.StripColumns), sumStep);
            }
            for (long r = 0; r < rows; r++)
            {
                _epilogue.Row<S, V>(lease.Floats + (r * sumStep), r, column, columns);
            }
        }
    }

    private static void Multiply<S, V>(LeftBlock x, long rows, MatrixView w, long column, int columns, float* sums, int sumStep) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int j = 0; j < columns; j += Together)
        {
            // Past the last row its neighbour is read again; nobody reads that sum.
            byte* w0 = w.At(column + j, 0), w1 = w.At(column + Math.Min(j + 1, columns - 1), 0);
            byte* w2 = w.At(column + Math.Min(j + 2, columns - 1), 0), w3 = w.At(column + Math.Min(j + 3, columns - 1), 0);
            for (long r = 0; r < rows; r++)
            {
                Dot<S, V>(x.Data + (r * x.RowStride), w0, w1, w2, w3, w.Columns, sums + (r * sumStep) + j);
            }
        }
    }

    private static void Dot<S, V>(float* x, byte* w0, byte* w1, byte* w2, byte* w3, long depth, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        V t0 = S.Zero, t1 = S.Zero, t2 = S.Zero, t3 = S.Zero;
        long k = 0, whole = depth - (depth % S.Width);
        while (k < whole)
        {
            V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
            for (long end = Math.Min(whole, k + (ChainLength * S.Width)); k < end; k += S.Width)
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
