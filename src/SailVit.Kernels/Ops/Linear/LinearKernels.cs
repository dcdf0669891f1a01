using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>Y = f(A), plus B where there is one: what follows a product that libtorch made.</summary>
internal readonly struct ActivationAndResidual<F> : IElementMap where F : struct, ISimdActivation
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<S, V>(V a, V b, V c, out V y, out V z) where S : struct, ISimd<V> where V : unmanaged
    {
        y = S.Add(F.Value<S, V>(a), b);
        z = default;
    }
}

/// <summary>Sums over rows, per strip of columns, for the gradient of a bias.</summary>
/// <remarks>Rows are added in their order, with compensation: where they largely cancel, plain sums keep the rounding of the
/// largest partial one.</remarks>
internal readonly unsafe struct ColumnSum<T>(MatrixView x, byte* result) : ICpuKernel where T : unmanaged, IElement
{
    private const int Columns = 4 * PackedMatrix.StripColumns;

    public static long Items(long columns) => (columns + Columns - 1) / Columns;

    /// <summary>Items of a range worth handing to a thread.</summary>
    public static long Grain(long rows) => RowGrain.Of(Columns * rows);

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        float* row = stackalloc float[Columns], sum = stackalloc float[Columns], lost = stackalloc float[Columns];
        new Span<float>(row, Columns).Clear();
        for (long strip = begin; strip < end; strip++)
        {
            long column = strip * Columns;
            int count = (int)Math.Min(Columns, x.Columns - column);
            new Span<float>(sum, Columns).Clear();
            new Span<float>(lost, Columns).Clear();
            for (long r = 0; r < x.Rows; r++)
            {
                bool direct = count == Columns && x.IsFloat32Rows;
                if (!direct)
                {
                    x.CopyRow<S, V>(r, column, count, row);
                }
                Fold<S, V>(sum, lost, direct ? x.InPlace(r, column) : row, count);
            }
            RowStore.Run<S, V, T>(sum, count, result, column);
        }
    }

    private static void Fold<S, V>(float* sums, float* losses, float* values, int count) where S : struct, ISimd<V> where V : unmanaged
    {
        for (int i = 0; i < count; i += S.Width)
        {
            V sum = S.Load(sums + i), lost = S.Load(losses + i);
            RowSum.Fold<S, V>(ref sum, ref lost, S.Load(values + i));
            S.Store(sums + i, sum);
            S.Store(losses + i, lost);
        }
    }
}
