using System.Runtime.CompilerServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>Patches, one per row; <paramref name="first"/> is the patch of row 0. The left matrix of the projection;
/// transposed, of the weight's gradient.</summary>
internal readonly unsafe struct PatchRows(PatchGrid grid, long first) : ILeftOperand, IRowSource
{
    public long Rows => grid.Patches;

    public long Columns => grid.Depth;

    public bool IsFloat32Rows => false;

    public bool IsInPlace => false;

    public float* InPlace(long row, long column) => null;

    public void CopyRow<S, V>(long row, long column, long count, float* to) where S : struct, ISimd<V> where V : unmanaged =>
        grid.Gather<S, V>(first + row, column, count, to);

    public long ScratchFloats(long rows, long depth, long depthBlock) => (rows * depth) + IRowSource.Slack;

    public LeftBlock Block<S, V>(long row, long rows, long depth, long depthBlock, float* scratch) where S : struct, ISimd<V> where V : unmanaged
    {
        for (long r = 0; r < rows; r++)
        {
            grid.Gather<S, V>(first + row + r, 0, depth, scratch + (r * depth));
        }
        return new(scratch, depth, 1);
    }
}

/// <summary>Patches as a matrix in memory, [B · patches, K], for libtorch's product.</summary>
internal readonly unsafe struct GatherPatches<T>(PatchGrid grid, byte* to) : ICpuKernel where T : unmanaged, IElement
{
    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        int depth = (int)grid.Depth;
        using var row = Workspace.Rent((depth + IRowSource.Slack) * sizeof(float));
        for (long patch = begin; patch < end; patch++)
        {
            grid.Gather<S, V>(patch, 0, depth, row.Floats);
            RowStore.Run<S, V, T>(row.Floats, depth, to, patch * depth);
        }
    }
}

/// <summary>Tokens: sum + bias (+ position), behind the class slot of their image.</summary>
/// <param name="output">[B, slots + patches, width].</param>
/// <param name="bias">[width] float32.</param>
/// <param name="position">[slots + patches, width] of T; null for none.</param>
/// <param name="slots">1 with a class token, 0 without.</param>
/// <param name="patches">Per image.</param>
/// <param name="width">C.</param>
internal readonly unsafe struct TokenEpilogue<T>(byte* output, float* bias, byte* position, long slots, long patches, long width) : IEpilogue
    where T : unmanaged, IElement
{
    public SumPlace InPlace(long row, long column) => default;

    public LinesAhead Ahead(long row, long column, int matrix) => default;

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged
    {
        var (image, patch) = Math.DivRem(row, patches);
        long positionAt = ((slots + patch) * width) + column;
        long at = (image * (slots + patches) * width) + positionAt;
        int i = 0;
        for (; i + S.Width <= columns; i += S.Width)
        {
            At<S, V>(sums, column, positionAt, at, i);
        }
        for (; i < columns; i++)
        {
            At<SimdScalar, float>(sums, column, positionAt, at, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void At<S, V>(float* sums, long column, long positionAt, long at, int i) where S : struct, ISimd<V> where V : unmanaged
    {
        var v = S.Add(S.Load(sums + i), S.Load(bias + column + i));
        if (position != null)
        {
            v = S.Add(v, T.Load<S, V>(position, positionAt + i));
        }
        T.Store<S, V>(output, at + i, v);
    }
}

/// <summary>Adds sums to a float32 matrix, or begins it: the weight's gradient over the images, in their order.</summary>
internal readonly unsafe struct AccumulateEpilogue(float* output, long rowStride, bool begin) : IEpilogue
{
    public SumPlace InPlace(long row, long column) => default;

    public LinesAhead Ahead(long row, long column, int matrix) => default;

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged
    {
        float* to = output + (row * rowStride) + column;
        int i = 0;
        for (; i + S.Width <= columns; i += S.Width)
        {
            S.Store(to + i, begin ? S.Load(sums + i) : S.Add(S.Load(to + i), S.Load(sums + i)));
        }
        for (; i < columns; i++)
        {
            to[i] = begin ? sums[i] : to[i] + sums[i];
        }
    }
}

/// <summary>Puts the gradient of each patch back to its pixels. Patches do not overlap: every pixel is written once.</summary>
internal readonly unsafe struct PixelEpilogue<T>(PatchGrid grid, long first, byte* image) : IEpilogue where T : unmanaged, IElement
{
    public SumPlace InPlace(long row, long column) => default;

    public LinesAhead Ahead(long row, long column, int matrix) => default;

    public void Row<S, V>(float* sums, long row, long column, int columns) where S : struct, ISimd<V> where V : unmanaged =>
        grid.Scatter<T>(first + row, column, columns, sums, image);
}

/// <summary>to[c, k] = from[k, c]: float32 to a storage type, a panel of k per item.</summary>
internal readonly unsafe struct TransposeStore<T>(float* from, long depth, long width, byte* to) : ICpuKernel where T : unmanaged, IElement
{
    private const int BlockWidth = 64;

    public static long Items(long depth) => (depth + PackedMatrix.PanelColumns - 1) / PackedMatrix.PanelColumns;

    public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
    {
        float* block = stackalloc float[BlockWidth * PackedMatrix.PanelColumns];
        for (long item = begin; item < end; item++)
        {
            long k = item * PackedMatrix.PanelColumns;
            int rows = (int)Math.Min(PackedMatrix.PanelColumns, depth - k);
            for (long c = 0; c < width; c += BlockWidth)
            {
                int columns = (int)Math.Min(BlockWidth, width - c);
                RightColumns.Transpose(from + (k * width) + c, width, rows, columns, block);
                for (int i = 0; i < columns; i++)
                {
                    RowStore.Run<S, V, T>(block + (i * PackedMatrix.PanelColumns), rows, to, ((c + i) * depth) + k);
                }
            }
        }
    }
}
