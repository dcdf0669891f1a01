using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Interop;
using static TorchSharp.torch;

namespace SailVit.Kernels.Dispatch;

/// <summary>The end of a sum over rows: partial sums of chunks, added in chunk order on the backend in use.</summary>
internal static unsafe class PartialSums
{
    /// <summary>The sums as a new tensor of the shape and dtype of <paramref name="like"/>.</summary>
    public static Tensor ToTensor(float* partials, long chunks, long stride, Tensor like) => ToTensor(partials, DType.Float32, chunks, stride, like);

    /// <summary>The same of summands of any dtype.</summary>
    public static Tensor ToTensor(void* partials, DType type, long chunks, long stride, Tensor like)
    {
        var view = new TensorView(like);
        var result = Allocate.Empty(view.Sizes, view.DType, view);
        byte* data = new TensorView(result).Data;
        if (Dispatcher.UsesOpenCl)
        {
            OpenClSums.Run(partials, type, chunks, stride, data, view.DType, view.Length);
        }
        else
        {
            SumChunks.Run(partials, type, chunks, stride, data, view.DType, view.Length);
        }
        return result;
    }
}
