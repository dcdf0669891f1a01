using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>A matrix in memory, by strides: a tensor of any rank read as [all but the last dimension, last dimension].</summary>
/// <remarks>Strides are in elements. Rows that no single stride reaches (a transposed batch) have a table of offsets.</remarks>
internal readonly unsafe struct MatrixView(void* data, DType dtype, long rows, long columns, long rowStride, long columnStride, long* rowOffsets = null) : IRowSource
{
    public readonly byte* Data = (byte*)data;
    public readonly DType DType = dtype;
    public readonly long RowStride = rowStride;
    public readonly long ColumnStride = columnStride;
    public readonly long* RowOffsets = rowOffsets;

    public long Rows { get; } = rows;

    public long Columns { get; } = columns;

    public int ElementSize => DType == DType.Float32 ? sizeof(float) : sizeof(ushort);

    /// <summary>Whether rows can be read as float32 where they lie.</summary>
    public bool IsFloat32Rows => DType == DType.Float32 && ColumnStride == 1 && RowOffsets == null;

    /// <summary>Whether rows follow each other without a gap.</summary>
    public bool IsContiguous => ColumnStride == 1 && RowStride == Columns && RowOffsets == null;

    /// <summary>Address of an element.</summary>
    public byte* At(long row, long column) =>
        Data + (((RowOffsets != null ? RowOffsets[row] : row * RowStride) + (column * ColumnStride)) * ElementSize);

    public float* InPlace(long row, long column) => (float*)At(row, column);

    /// <summary>Reads count elements of a row from a column on as float32.</summary>
    public void CopyRow<S, V>(long row, long column, long count, float* to) where S : struct, ISimd<V> where V : unmanaged
    {
        var from = At(row, column);
        switch (DType)
        {
            case DType.Float32:
                Copy<S, V, F32>(from, ColumnStride, count, to);
                break;
            case DType.BFloat16:
                Copy<S, V, Bf16>(from, ColumnStride, count, to);
                break;
            default:
                Copy<S, V, F16>(from, ColumnStride, count, to);
                break;
        }
    }

    private static void Copy<S, V, T>(byte* from, long stride, long count, float* to)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        long i = 0;
        if (stride == 1)
        {
            for (; i + S.Width <= count; i += S.Width)
            {
                S.Store(to + i, T.Load<S, V>(from, i));
            }
        }
        for (; i < count; i++)
        {
            to[i] = T.Load<SimdScalar, float>(from, i * stride);
        }
    }
}
