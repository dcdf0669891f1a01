using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Accelerated;

/// <summary>mm(self [M, K], mat2 [K, N]): linear layers on three dimensions, and both gradients of every linear layer.</summary>
internal readonly struct MatrixProduct : IAcceleratedOperator
{
    public static ReadOnlySpan<byte> Name => "aten::mm\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TT"u8;

    public static bool Serves(in OperatorCall call) =>
        PlainTensor.TryView(call.HandleAt(0), out var a) && PlainTensor.TryView(call.HandleAt(1), out var b)
        && a.Rank == 2 && b.Rank == 2 && a.Size(1) == b.Size(0) && ProductRule.Serves(a, b);

    public static Tensor?[] Run(in OperatorCall call)
    {
        var (a, b) = (new TensorView(call.HandleAt(0)), new TensorView(call.HandleAt(1)));
        var output = Allocate.Empty([a.Size(0), b.Size(1)], DType.Float32);
        new Operands(a, b, new TensorView(output)).Multiply(0);
        return [output];
    }

    public static void RunStock(in OperatorCall call) =>
        StockOperators.Return(call, Name, StockOperators.THSTensor_mm(call.HandleAt(0), call.HandleAt(1)));

    public static long[]?[] GradientSizes(in OperatorCall call) =>
        call.SizesAt(0) is [var m, _] && call.SizesAt(1) is [_, var n] ? [[m, n]] : [];
}

/// <summary>bmm(self [B, M, K], mat2 [B, K, N]): attention as nn.MultiheadAttention writes it out.</summary>
internal readonly struct BatchedMatrixProduct : IAcceleratedOperator
{
    public static ReadOnlySpan<byte> Name => "aten::bmm\0"u8;

    public static ReadOnlySpan<byte> Arguments => "TT"u8;

    public static bool Serves(in OperatorCall call) =>
        PlainTensor.TryView(call.HandleAt(0), out var a) && PlainTensor.TryView(call.HandleAt(1), out var b)
        && a.Rank == 3 && b.Rank == 3 && a.Size(0) == b.Size(0) && a.Size(0) > 0 && a.Size(2) == b.Size(1) && ProductRule.Serves(a, b);

    public static Tensor?[] Run(in OperatorCall call)
    {
        var (a, b) = (new TensorView(call.HandleAt(0)), new TensorView(call.HandleAt(1)));
        var output = Allocate.Empty([a.Size(0), a.Size(1), b.Size(2)], DType.Float32);
        CpuBackend.Run(new Batches(new(a, b, new TensorView(output))), a.Size(0), 1);
        return [output];
    }

    public static void RunStock(in OperatorCall call) =>
        StockOperators.Return(call, Name, StockOperators.THSTensor_bmm(call.HandleAt(0), call.HandleAt(1)));

    public static long[]?[] GradientSizes(in OperatorCall call) =>
        call.SizesAt(0) is [var batch, var m, _] && call.SizesAt(1) is [_, _, var n] ? [[batch, m, n]] : [];

    /// <summary>Products of a range of the batch. The product's own loops run on this thread then: libtorch's pool does not nest.</summary>
    private readonly struct Batches(Operands operands) : ICpuKernel
    {
        public void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged
        {
            for (long item = begin; item < end; item++)
            {
                operands.Multiply(item);
            }
        }
    }
}

/// <summary>Both factors and the product of one call, by pointers: lives as long as the call's tensors.</summary>
internal readonly unsafe struct Operands
{
    private readonly MatrixView _left, _right;
    private readonly bool _leftTransposed, _rightTransposed;
    private readonly long _leftBatch, _rightBatch;
    private readonly float* _output;
    private readonly long _rows, _columns;

    public Operands(in TensorView a, in TensorView b, in TensorView output)
    {
        // Autograd passes dyᵀ, and linear layers wᵀ, as views: read along memory.
        _leftTransposed = a.Stride(-1) != 1 && a.Stride(-2) == 1;
        _rightTransposed = b.Stride(-1) != 1 && b.Stride(-2) == 1;
        _left = View(a, _leftTransposed);
        _right = View(b, _rightTransposed);
        _leftBatch = a.Rank == 3 ? a.Stride(0) : 0;
        _rightBatch = b.Rank == 3 ? b.Stride(0) : 0;
        _output = (float*)output.Data;
        (_rows, _columns) = (output.Size(-2), output.Size(-1));
    }

    /// <summary>One product of the batch.</summary>
    public void Multiply(long item)
    {
        var left = At(_left, item * _leftBatch);
        var right = At(_right, item * _rightBatch);
        var store = new StoreEpilogue<F32>(_output + (item * _rows * _columns), _columns);
        if (_rightTransposed)
        {
            Multiply(left, RightOperand.Transposed(right), store);
        }
        else
        {
            Multiply(left, RightOperand.Of(right), store);
        }
    }

    private void Multiply<B>(MatrixView left, B right, StoreEpilogue<F32> store) where B : unmanaged, IRightOperand
    {
        if (_leftTransposed)
        {
            Gemm.Run(new LeftColumns<MatrixView>(left), _rows, right, store);
        }
        else
        {
            Gemm.Run(new LeftRows(left), _rows, right, store);
        }
    }

    private static MatrixView View(in TensorView x, bool transposed) => transposed
        ? new(x.Data, x.DType, x.Size(-1), x.Size(-2), x.Stride(-1), x.Stride(-2))
        : new(x.Data, x.DType, x.Size(-2), x.Size(-1), x.Stride(-2), x.Stride(-1));

    private static MatrixView At(MatrixView x, long offset) =>
        new(x.Data + (offset * sizeof(float)), x.DType, x.Rows, x.Columns, x.RowStride, x.ColumnStride);
}

/// <summary>When the own product is taken.</summary>
internal static class ProductRule
{
    // Below, packing and the way through managed code take longer than the product gains.
    private const double FewestFlops = 4e6;

    public static bool Serves(in TensorView a, in TensorView b) =>
        a.DType == DType.Float32 && b.DType == DType.Float32
        && a.Size(-2) > 0 && b.Size(-1) > 0 && a.Size(-1) > 0
        && LinearDispatch.For(DType.Float32, a.Size(-2), packed: false) == LinearPath.Own
        && (LinearDispatch.Choice == LinearPath.Own || 2.0 * a.Size(-2) * a.Size(-1) * b.Size(-1) >= FewestFlops);
}
