using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Linear;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.LinearCrossEntropy;

/// <summary>What one call is asked for.</summary>
/// <param name="Path">Who makes the products.</param>
/// <param name="Rows">Labels and factors.</param>
internal sealed record LinearCrossEntropyOptions(LinearPath Path, LabelRows Rows);

/// <summary>The loss and, on the way, the gradients of hidden and weight; chunk after chunk of rows.</summary>
internal static unsafe class LinearCrossEntropyMath
{
    // Large enough that packing the weight once per chunk does not matter, small beside the weight of a large vocabulary.
    private const long ChunkBytes = 256 << 20;

    public static (Tensor Loss, Tensor? Hidden, Tensor? Weight) Run(
        LinearCrossEntropyOptions options, Tensor hidden, Tensor weight, bool hiddenWanted, bool weightWanted, long chunkBytes = ChunkBytes)
    {
        // What is made here is read on the host, by libtorch's own ops.
        using var unheard = Allocate.Unheard();
        var (h, w) = (new TensorView(hidden), new TensorView(weight));
        long rows = h.Size(0), classes = w.Size(0);
        var dHidden = hiddenWanted ? Allocate.Empty(h.Sizes, h.DType, h) : null;
        var dWeight = weightWanted ? new WeightSum(options.Path, w) : null;
        var losses = new double[rows];
        long perChunk = ChunkRows(rows, classes * h.DType.Size(), chunkBytes);
        using (var scope = NewDisposeScope())
        {
            var logits = options.Path == LinearPath.Own && rows > 0 ? Allocate.Empty([perChunk, classes], h.DType, h) : null;
            for (long first = 0; first < rows; first += perChunk)
            {
                using var inner = NewDisposeScope();
                long count = Math.Min(perChunk, rows - first);
                var x = hidden.narrow(0, first, count);
                var chunk = Logits(x, weight, logits?.narrow(0, 0, count));
                Softmax(chunk, options.Rows, first, losses, hiddenWanted || weightWanted);
                if (dHidden is not null)
                {
                    InputGradient(options.Path, chunk, weight, dHidden.narrow(0, first, count));
                }
                dWeight?.Add(chunk, x);
            }
        }
        double loss = 0;
        foreach (double value in losses)
        {
            loss += value;
        }
        return (tensor((float)loss), dHidden, dWeight?.ToTensor());
    }

    /// <summary>Rows per chunk, all chunks alike.</summary>
    private static long ChunkRows(long rows, long rowBytes, long chunkBytes)
    {
        long most = Math.Max(1, chunkBytes / Math.Max(1, rowBytes));
        long chunks = Math.Max(1, (rows + most - 1) / most);
        return Math.Max(1, (rows + chunks - 1) / chunks);
    }

    private static Tensor Logits(Tensor x, Tensor weight, Tensor? into)
    {
        if (into is null)
        {
            return nn.functional.linear(x, weight);
        }
        OwnLinear.Forward(x, weight, null, null, Activation.None, null, null, into);
        return into;
    }

    private static void InputGradient(LinearPath path, Tensor dLogits, Tensor weight, Tensor into)
    {
        if (path == LinearPath.Own)
        {
            OwnLinear.InputGradient(dLogits, weight, into, add: false);
            return;
        }
        into.copy_(dLogits.matmul(weight));
    }

    private static void Softmax(Tensor logits, LabelRows rows, long first, double[] losses, bool gradient)
    {
        var view = new TensorView(logits);
        fixed (long* labels = rows.Labels)
        fixed (float* factors = rows.Factors)
        fixed (double* loss = losses)
        {
            if (Dispatcher.UsesOpenCl)
            {
                PortableDispatch.For(view.DType, new CrossEntropyOpenCl(view.Data, view.Size(0), view.Size(1), labels + first, factors + first, loss + first, gradient));
                return;
            }
            ElementDispatch.For(view.DType, new Call(view.Data, view.Size(0), view.Size(1), labels + first, factors + first, loss + first, gradient));
        }
    }

    private readonly struct Call(byte* logits, long rows, long classes, long* labels, float* factors, double* losses, bool gradient) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            CpuBackend.Run(new CrossEntropyRows<T>(logits, classes, labels, factors, losses, gradient), rows, RowGrain.Of(classes));
    }

    /// <summary>dW = Σ over chunks of dLogitsᵀ·x, in their order: float32 until the end, since each rounding to 16 bits would add up.</summary>
    private sealed class WeightSum(LinearPath path, in TensorView weight)
    {
        private readonly DType _dtype = weight.DType;
        private readonly long[] _sizes = weight.Sizes.ToArray();
        private Tensor? _sum;

        public void Add(Tensor dLogits, Tensor x)
        {
            // A device stores sums of 16-bit operands as float32 as well.
            if (path == LinearPath.Own && (_dtype == DType.Float32 || Dispatcher.UsesOpenCl))
            {
                bool begin = _sum is null;
                _sum ??= Allocate.Empty(_sizes, DType.Float32).DetachFromDisposeScope();
                OwnLinear.WeightGradient(dLogits, x, _sum, add: !begin);
                return;
            }
            var product = LinearMath.WeightGradient(path, dLogits, x);
            if (_sum is null)
            {
                _sum = product.to(float32, copy: true).DetachFromDisposeScope();
                return;
            }
            _sum.add_(product, HeldScalar.One);
        }

        public Tensor ToTensor()
        {
            if (_sum is null)
            {
                return zeros(_sizes, dtype: (ScalarType)_dtype);
            }
            if (_dtype == DType.Float32)
            {
                return _sum;
            }
            var rounded = _sum.to((ScalarType)_dtype);
            _sum.Dispose();
            return rounded;
        }
    }
}
