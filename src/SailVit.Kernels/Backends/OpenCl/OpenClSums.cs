using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Adds partial sums of chunks on the OpenCL device in use.</summary>
internal static unsafe class OpenClSums
{
    /// <summary>result[i] = Σ over c of partials[c · stride + i], for i below width.</summary>
    public static void Run(float* partials, long chunks, long stride, void* result, DType resultType, long width) =>
        PortableDispatch.For(resultType, new Call(partials, chunks, stride, result, width));

    private readonly struct Call(float* partials, long chunks, long stride, void* result, long width) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            if (width == 0)
            {
                return;
            }
            HostArray[] arrays = [HostArray.Rows(partials, chunks, width, stride, sizeof(float)), HostArray.Write(result, width, sizeof(T))];
            var scalars = new SumScalars { Chunks = chunks, Stride = stride, Width = width };
            long groups = (width + SumPortable<T>.Columns - 1) / SumPortable<T>.Columns;
            OpenClQueue.Of(OpenClDevices.Current).Run(SumPortable<T>.Kernel, groups, arrays, scalars);
        }
    }
}
