using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Attention;

/// <summary>Queries, keys, values or their gradients by strides, in elements: element (b, i, h, d) lies at
/// b·Batch + i·Row + h·Head + d·Column.</summary>
internal readonly unsafe struct HeadTensor
{
    private readonly byte* _data;
    private readonly DType _dtype;

    /// <summary>Dimensions by position; a batch dimension of -1 means sequences behind each other in one dimension of rows.</summary>
    public HeadTensor(in TensorView view, int batch, int row, int head, long offset = 0)
    {
        _dtype = view.DType;
        _data = view.Data + (offset * ElementSize);
        Batch = batch < 0 ? 0 : view.Stride(batch);
        Row = view.Stride(row);
        Head = view.Stride(head);
        Column = view.Stride(-1);
    }

    public long Batch { get; }

    public long Row { get; }

    public long Head { get; }

    public long Column { get; }

    private int ElementSize => _dtype == DType.Float32 ? sizeof(float) : sizeof(ushort);

    /// <summary>One head of one sequence as a matrix [rows, width].</summary>
    public MatrixView Matrix(long batch, long firstRow, long head, long rows, long width) =>
        new(_data + (((batch * Batch) + (firstRow * Row) + (head * Head)) * ElementSize), _dtype, rows, width, Row, Column);

    /// <summary>All of it, for a device.</summary>
    /// <param name="batches">Sequences.</param>
    /// <param name="rows">One more than the last row.</param>
    /// <param name="heads">Heads.</param>
    /// <param name="width">D.</param>
    /// <param name="isWritten">Whether the kernel writes it.</param>
    public HostArray Array(long batches, long rows, long heads, long width, bool isWritten)
    {
        long length = rows == 0 ? 0 : ((batches - 1) * Batch) + ((rows - 1) * Row) + ((heads - 1) * Head) + ((width - 1) * Column) + 1;
        return new((nint)_data, length, ElementSize, isWritten);
    }
}

/// <summary>One sequence of a batch: where its rows begin, how many there are.</summary>
internal readonly struct Sequence(long firstQuery, long queries, long firstKey, long keys, long firstItem, long keysBefore = 0)
{
    /// <summary>0 where the batch has a dimension of its own.</summary>
    public readonly long FirstQuery = firstQuery;
    public readonly long Queries = queries;
    public readonly long FirstKey = firstKey;
    public readonly long Keys = keys;

    /// <summary>Work items of the sequences before this one.</summary>
    public readonly long FirstItem = firstItem;

    /// <summary>Keys of a cache, older than the first query: a causal query i attends to keys 0 … keysBefore + i.</summary>
    public readonly long KeysBefore = keysBefore;
}

/// <summary>Where statistics of a query row lie: one float per (sequence, head, row).</summary>
internal readonly struct RowStatistics(long batch, long head)
{
    public long Batch => batch;

    public long Head => head;

    public long Index(long sequence, long head1, long row) => (sequence * batch) + (head1 * head) + row;
}

/// <summary>Mask or bias by strides in elements, 0 where it is broadcast. Element (b, h, i, j).</summary>
internal readonly unsafe struct MaskView
{
    private const uint NegativeInfinityBits = 0xFF800000;

    private readonly byte* _data;
    private readonly DType _dtype;

    public MaskView(in TensorView view)
    {
        _data = view.Data;
        _dtype = view.DType;
        Batch = BroadcastStride(view, 4);
        Head = BroadcastStride(view, 3);
        Query = BroadcastStride(view, 2);
        Key = BroadcastStride(view, 1);
        Extent = view.Extent;
    }

    public long Batch { get; }

    public long Head { get; }

    public long Query { get; }

    public long Key { get; }

    public long Extent { get; }

    /// <summary>Null where there is none.</summary>
    public DType? DType => Exists ? _dtype : null;

    public bool Exists => _data != null;

    /// <summary>Whether it is added to scores; a boolean mask hides them.</summary>
    public bool IsAdditive => Exists && _dtype != Interop.DType.Bool;

    /// <summary>All of it, for a device.</summary>
    public HostArray Array() => HostArray.Read(_data, Extent, Exists ? _dtype.Size() : 1);

    /// <summary>Stride of a dimension counted from the end; 0 where it is missing or of size 1.</summary>
    public static long BroadcastStride(in TensorView view, int fromEnd) =>
        view.Rank < fromEnd || view.Size(-fromEnd) == 1 ? 0 : view.Stride(-fromEnd);

    /// <summary>Scores times <paramref name="scale"/>, plus a row of the mask, rounded once. A boolean mask does not scale: false is −∞.</summary>
    public void AddTo<S, V>(float* scores, long b, long h, long i, long firstKey, int keys, float scale) where S : struct, ISimd<V> where V : unmanaged
    {
        long at = (b * Batch) + (h * Head) + (i * Query) + (firstKey * Key);
        switch (_dtype)
        {
            case Interop.DType.Bool:
                for (int j = 0; j < keys; j++)
                {
                    // Not by a sum: a hidden score may be infinite or NaN. Nor by a branch: masks may be random.
                    uint kept = _data[at + (j * Key)] != 0 ? uint.MaxValue : 0;
                    scores[j] = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(scores[j]) & kept) | (NegativeInfinityBits & ~kept));
                }
                break;
            case Interop.DType.Float32:
                Add<S, V, F32>(scores, at, keys, scale);
                break;
            case Interop.DType.BFloat16:
                Add<S, V, Bf16>(scores, at, keys, scale);
                break;
            default:
                Add<S, V, F16>(scores, at, keys, scale);
                break;
        }
    }

    private void Add<S, V, T>(float* scores, long at, int keys, float scale)
        where S : struct, ISimd<V>
        where V : unmanaged
        where T : struct, IElement
    {
        int j = 0;
        if (Key == 1)
        {
            for (; j + S.Width <= keys; j += S.Width)
            {
                S.Store(scores + j, S.Fma(S.Load(scores + j), S.Create(scale), T.Load<S, V>(_data, at + j)));
            }
        }
        for (; j < keys; j++)
        {
            scores[j] = MathF.FusedMultiplyAdd(scores[j], scale, T.Load<SimdScalar, float>(_data, at + (j * Key)));
        }
    }
}

/// <summary>The gradient of a bias, row-major in the bias's own shape; strides are 0 where the bias is broadcast.</summary>
/// <remarks>Float32 where each element is written once. Float64 where elements are sums over queries, heads or sequences:
/// they can be long, and largely cancel.</remarks>
internal readonly unsafe struct BiasGradient
{
    private readonly byte* _data;
    private readonly bool _sums;

    public BiasGradient(in TensorView view)
    {
        _data = view.Data;
        _sums = view.DType == DType.Float64;
        Length = view.Length;
        Batch = MaskView.BroadcastStride(view, 4);
        Head = MaskView.BroadcastStride(view, 3);
        Query = MaskView.BroadcastStride(view, 2);
        Key = MaskView.BroadcastStride(view, 1);
    }

    public long Length { get; }

    public long Batch { get; }

    public long Head { get; }

    public long Query { get; }

    public long Key { get; }

    /// <summary>All of it, for a device: float32.</summary>
    public HostArray Array() => HostArray.Write(_data, Length, sizeof(float));

    public bool Exists => _data != null;

    /// <summary>Whether all sequences add to the same elements.</summary>
    public bool SharedByBatch => Exists && Batch == 0;

    public bool SharedByHeads => Exists && Head == 0;

    public bool SharedByKeys => Exists && Key == 0;

    /// <summary>Adds the gradient of one query to the element that all its keys share.</summary>
    public void AddToRow(float gradient, long b, long h, long i)
    {
        long at = (b * Batch) + (h * Head) + (i * Query);
        if (_sums)
        {
            ((double*)_data)[at] += gradient;
        }
        else
        {
            ((float*)_data)[at] += gradient;
        }
    }

    /// <summary>Adds a row of the gradients of scores. Not for a bias that keys share.</summary>
    public void Add(float* gradient, long b, long h, long i, long firstKey, int keys)
    {
        long at = (b * Batch) + (h * Head) + (i * Query) + (firstKey * Key);
        if (!_sums)
        {
            new Span<float>(gradient, keys).CopyTo(new((float*)_data + at, keys));
            return;
        }
        var to = (double*)_data + at;
        for (int j = 0; j < keys; j++)
        {
            to[j] += gradient[j];
        }
    }
}
