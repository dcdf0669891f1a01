using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>What becomes of the sums of a linear layer.</summary>
/// <param name="output">[rows, columns], row-major, or items of a batch that lie <see cref="OutputItemStride"/> elements apart.</param>
/// <param name="rows">Of the whole product.</param>
/// <param name="columns">Of the whole product.</param>
internal readonly unsafe struct LinearOutput(byte* output, long rows, long columns)
{
    public byte* Output { get; } = output;

    public long Rows { get; } = rows;

    public long Columns { get; } = columns;

    /// <summary>Float32; null for none.</summary>
    public float* Bias { get; init; }

    /// <summary>Float32, of up's sums; null for none.</summary>
    public float* UpBias { get; init; }

    /// <summary>Null for none.</summary>
    public byte* Residual { get; init; }

    public long ResidualStride { get; init; }

    /// <summary>Row-major, for the backward pass; null where none will follow.</summary>
    public byte* Before { get; init; }

    public byte* UpBefore { get; init; }

    /// <summary>Rows of an item of the batch; 0 where all are one.</summary>
    public long RowsOfItem { get; init; }

    public long OutputItemStride { get; init; }

    public HostArray Matrix(byte* data, int elementSize) => HostArray.Write(data, Rows * Columns, elementSize);

    public LinearScalars Scalars(ProductScalars product) => new()
    {
        Product = product,
        Columns = Columns,
        RowsOfItem = RowsOfItem == 0 ? Rows : RowsOfItem,
        OutputItemStride = OutputItemStride,
        ResidualStride = ResidualStride,
        HasBias = Bias == null ? 0 : 1,
        HasUpBias = UpBias == null ? 0 : 1,
        HasResidual = Residual == null ? 0 : 1,
        Keeps = Before == null ? 0 : 1,
    };
}

internal readonly unsafe struct LinearLaunch<T, F>(LinearOutput o) : IProductCall
    where T : unmanaged, IPortableElement<T>
    where F : unmanaged, ISimdActivation
{
    public void Launch<R, L>(HostArray left, HostArray right, ProductScalars product) where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes
    {
        var scalars = o.Scalars(product);
        long items = (o.Rows + scalars.RowsOfItem - 1) / scalars.RowsOfItem;
        HostArray[] arrays =
        [
            left,
            right,
            HostArray.Read(o.Bias, o.Columns, sizeof(float)),
            HostArray.Rows(o.Residual, scalars.RowsOfItem, o.Columns, o.ResidualStride, sizeof(T)),
            o.Matrix(o.Before, sizeof(T)),
            HostArray.Write(o.Output, ((items - 1) * o.OutputItemStride) + (scalars.RowsOfItem * o.Columns), sizeof(T)),
        ];
        OpenClProduct.Launch<R, L, LinearScalars>(LinearPortable<T, F, R, L>.Kernel, product, arrays, scalars);
    }
}

internal readonly unsafe struct LinearSwiGluLaunch<T>(LinearOutput o) : IProductCall where T : unmanaged, IPortableElement<T>
{
    public void Launch<R, L>(HostArray left, HostArray right, ProductScalars product) where R : unmanaged, IRowTile<R> where L : unmanaged, ILanes
    {
        HostArray[] arrays =
        [
            left,
            right,
            HostArray.Read(o.Bias, o.Columns, sizeof(float)),
            HostArray.Read(o.UpBias, o.Columns, sizeof(float)),
            o.Matrix(o.Before, sizeof(T)),
            o.Matrix(o.UpBefore, sizeof(T)),
            o.Matrix(o.Output, sizeof(T)),
        ];
        OpenClProduct.Launch<R, L, LinearScalars>(LinearSwiGluPortable<T, R, L>.Kernel, product, arrays, o.Scalars(product));
    }
}
