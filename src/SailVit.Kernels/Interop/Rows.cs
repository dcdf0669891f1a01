using static TorchSharp.torch;

namespace SailVit.Kernels.Interop;

/// <summary>A tensor read as rows: [Count, Width], channels adjacent, one stride between rows.</summary>
/// <remarks>The default value stands for "no tensor": its pointer is null.</remarks>
internal readonly unsafe struct Rows : IDisposable
{
    private readonly Tensor? _tensor;
    private readonly Tensor? _copy;

    private Rows(byte* data, Tensor? tensor, Tensor? copy, long count, long width, long stride, DType dtype)
    {
        _tensor = tensor;
        _copy = copy;
        Data = data;
        Count = count;
        Width = width;
        Stride = stride;
        DType = dtype;
    }

    public byte* Data { get; }

    public long Count { get; }

    public long Width { get; }

    /// <summary>Elements from one row to the next; 0 when all rows are one (an expanded tensor).</summary>
    public long Stride { get; }

    public DType DType { get; }

    /// <summary>Whether the layout was one that no row stride reaches, so that the rows are those of a copy.</summary>
    public bool IsCopy => _copy is not null;

    /// <summary>Reads a tensor as rows over its last <paramref name="trailing"/> dimensions; copies it where one row
    /// stride does not reach all rows. With more trailing dimensions than there are, the tensor is one row. The default
    /// value for null.</summary>
    public static Rows Of(Tensor? tensor, int trailing)
    {
        if (tensor is null)
        {
            return default;
        }
        if (TryOf(tensor, null, trailing, out var rows))
        {
            return rows;
        }
        var copy = tensor.contiguous();
        TryOf(copy, copy, trailing, out rows);
        return rows;
    }

    /// <summary>Columns [start, start + width) of every row; the original still owns the copy.</summary>
    public Rows Columns(long start, long width) => new(Data + (start * DType.Size()), _tensor, null, Count, width, Stride, DType);

    /// <summary>Frees the copy, if there is one. Until then the tensor lives, also one that nobody else holds.</summary>
    public void Dispose()
    {
        _copy?.Dispose();
        GC.KeepAlive(_tensor);
    }

    private static bool TryOf(Tensor tensor, Tensor? copy, int trailing, out Rows rows)
    {
        var view = new TensorView(tensor);
        int split = Math.Max(0, view.Rank - trailing);
        long width = 1;
        bool adjacent = true;
        for (int d = view.Rank - 1; d >= split; d--)
        {
            adjacent &= view.Size(d) == 1 || view.Stride(d) == width;
            width *= view.Size(d);
        }
        long count = width == 0 ? 0 : view.Length / width;
        bool regular = TryRowStride(view, split, width, out long stride);
        rows = new(view.Data, tensor, copy, count, width, stride, view.DType);
        return (adjacent && regular) || view.Length == 0;
    }

    private static bool TryRowStride(in TensorView view, int split, long width, out long stride)
    {
        stride = width;
        long? expected = null;
        for (int d = split - 1; d >= 0; d--)
        {
            if (view.Size(d) == 1)
            {
                continue;
            }
            if (expected is null)
            {
                stride = view.Stride(d);
            }
            else if (view.Stride(d) != expected)
            {
                return false;
            }
            expected = view.Stride(d) * view.Size(d);
        }
        return true;
    }
}
