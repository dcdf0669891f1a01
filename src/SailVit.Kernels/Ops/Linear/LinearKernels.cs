using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>dx = dy·F'(x), element by element; x is row-major, dy has any strides.</summary>
internal readonly unsafe struct ActivationGradient<T, F>(byte* x, MatrixView dy, byte* dx) : ICpuKernel
    where T : unmanaged, IElement
    where F : unmanaged, ISimdActivation
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long columns = dy.Columns;
        using var lease = Workspace.Rent(columns * sizeof(float));
        for (long row = begin; row < end; row++)
        {
            dy.CopyRow<S, V>(row, 0, columns, lease.Floats);
            long at = row * columns, i = 0;
            for (; i + S.Width <= columns; i += S.Width)
            {
                T.Store<S, V>(dx, at + i, S.Mul(S.Load(lease.Floats + i), F.Derivative<S, V>(T.Load<S, V>(x, at + i))));
            }
            for (; i < columns; i++)
            {
                T.Store<SimdScalar, float>(dx, at + i, lease.Floats[i] * F.Derivative<SimdScalar, float>(T.Load<SimdScalar, float>(x, at + i)));
            }
        }
    }
}

/// <summary>h = silu(gate)·up: dGate = dh·up·silu'(gate), dUp = dh·silu(gate); gate and up are row-major, dh has any strides.</summary>
internal readonly unsafe struct SwiGluGradient<T>(byte* gate, byte* up, MatrixView dh, byte* dGate, byte* dUp) : ICpuKernel
    where T : unmanaged, IElement
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long columns = dh.Columns;
        using var lease = Workspace.Rent(columns * sizeof(float));
        for (long row = begin; row < end; row++)
        {
            dh.CopyRow<S, V>(row, 0, columns, lease.Floats);
            long at = row * columns, i = 0;
            for (; i + S.Width <= columns; i += S.Width)
            {
                Step<S, V>(at + i, S.Load(lease.Floats + i));
            }
            for (; i < columns; i++)
            {
                Step<SimdScalar, float>(at + i, lease.Floats[i]);
            }
        }
    }

    private void Step<S, V>(long at, V dy) where S : struct, ISimd<V> where V : unmanaged
    {
        var g = T.Load<S, V>(gate, at);
        var u = T.Load<S, V>(up, at);
        T.Store<S, V>(dGate, at, S.Mul(S.Mul(dy, u), Silu.Derivative<S, V>(g)));
        T.Store<S, V>(dUp, at, S.Mul(dy, Silu.Value<S, V>(g)));
    }
}

/// <summary>y = silu(gate)·up on row-major tensors, where libtorch made the products.</summary>
internal readonly unsafe struct SwiGluForward<T>(byte* gate, byte* up, byte* output, long count) : ICpuKernel where T : unmanaged, IElement
{
    /// <summary>Elements of one item.</summary>
    public const long Block = 4096;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        long i = begin * Block, stop = Math.Min(count, end * Block);
        for (; i + S.Width <= stop; i += S.Width)
        {
            T.Store<S, V>(output, i, S.Mul(Silu.Value<S, V>(T.Load<S, V>(gate, i)), T.Load<S, V>(up, i)));
        }
        for (; i < stop; i++)
        {
            T.Store<SimdScalar, float>(output, i, Silu.Value<SimdScalar, float>(T.Load<SimdScalar, float>(gate, i)) * T.Load<SimdScalar, float>(up, i));
        }
    }
}

/// <summary>Sums over rows, per strip of columns, for the gradient of a bias.</summary>
/// <remarks>Rows are added in chunks, chunk after chunk: fixed order, and a sum over many rows loses little.</remarks>
internal readonly unsafe struct ColumnSum<T>(MatrixView x, byte* result) : ICpuKernel where T : unmanaged, IElement
{
    private const int Columns = PackedMatrix.StripColumns;
    private const long ChunkRows = 32;

    public static long Items(long columns) => PackedMatrix.StripsOf(columns);

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        float* row = stackalloc float[Columns], chunk = stackalloc float[Columns], sum = stackalloc float[Columns];
        new Span<float>(row, Columns).Clear();
        for (long strip = begin; strip < end; strip++)
        {
            long column = strip * Columns;
            int count = (int)Math.Min(Columns, x.Columns - column);
            new Span<float>(sum, Columns).Clear();
            for (long first = 0; first < x.Rows; first += ChunkRows)
            {
                new Span<float>(chunk, Columns).Clear();
                for (long r = first; r < Math.Min(x.Rows, first + ChunkRows); r++)
                {
                    x.CopyRow<S, V>(r, column, count, row);
                    EpilogueRow.Add<S, V>(chunk, row);
                }
                EpilogueRow.Add<S, V>(sum, chunk);
            }
            RowStore.Run<S, V, T>(sum, count, result, column);
        }
    }
}

/// <summary>y = F(x) + residual on a row-major x, where libtorch made the product; y may be x.</summary>
internal readonly unsafe struct ActivationForward<T, F>(byte* x, MatrixView residual, byte* y, long columns) : ICpuKernel
    where T : unmanaged, IElement
    where F : unmanaged, ISimdActivation
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        using var lease = Workspace.Rent(columns * sizeof(float));
        new Span<float>(lease.Pointer, checked((int)columns)).Clear();
        for (long row = begin; row < end; row++)
        {
            if (residual.Data != null)
            {
                residual.CopyRow<S, V>(row, 0, columns, lease.Floats);
            }
            long at = row * columns, i = 0;
            for (; i + S.Width <= columns; i += S.Width)
            {
                T.Store<S, V>(y, at + i, S.Add(F.Value<S, V>(T.Load<S, V>(x, at + i)), S.Load(lease.Floats + i)));
            }
            for (; i < columns; i++)
            {
                T.Store<SimdScalar, float>(y, at + i, F.Value<SimdScalar, float>(T.Load<SimdScalar, float>(x, at + i)) + lease.Floats[i]);
            }
        }
    }
}
