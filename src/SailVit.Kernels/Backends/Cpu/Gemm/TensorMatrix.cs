using System.Runtime.InteropServices;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Backends.Cpu.Gemm;

/// <summary>A tensor of rank 1 or more read as a matrix, [all but the last dimension, last dimension], whatever its strides.</summary>
/// <remarks>Nothing is copied. Where no one stride reaches all rows, a table of their offsets is kept until disposal.
/// The tensor lives as long, also one that nobody else holds.</remarks>
internal readonly unsafe struct TensorMatrix : IDisposable
{
    private readonly Tensor _tensor;
    private readonly long* _offsets;

    public readonly MatrixView View;

    public TensorMatrix(Tensor tensor)
    {
        _tensor = tensor;
        var view = new TensorView(tensor);
        long columns = view.Size(-1);
        long rows = 1;
        for (int d = 0; d < view.Rank - 1; d++)
        {
            rows *= view.Size(d);
        }
        bool regular = TryRowStride(view, out long stride) || rows == 0;
        _offsets = regular ? null : Offsets(view, rows);
        View = new(view.Data, view.DType, rows, columns, stride, view.Stride(-1), _offsets);
    }

    public void Dispose()
    {
        NativeMemory.Free(_offsets);
        GC.KeepAlive(_tensor);
    }

    private static bool TryRowStride(in TensorView view, out long stride)
    {
        stride = view.Size(-1);
        long? expected = null;
        for (int d = view.Rank - 2; d >= 0; d--)
        {
            if (view.Size(d) == 1)
            {
                continue;
            }
            stride = expected is null ? view.Stride(d) : stride;
            if (view.Stride(d) != (expected ?? view.Stride(d)))
            {
                return false;
            }
            expected = view.Stride(d) * view.Size(d);
        }
        return true;
    }

    private static long* Offsets(in TensorView view, long rows)
    {
        var offsets = (long*)NativeMemory.Alloc((nuint)rows, sizeof(long));
        for (long row = 0; row < rows; row++)
        {
            long rest = row, offset = 0;
            for (int d = view.Rank - 2; d >= 0; d--)
            {
                (rest, long index) = Math.DivRem(rest, view.Size(d));
                offset += index * view.Stride(d);
            }
            offsets[row] = offset;
        }
        return offsets;
    }
}
