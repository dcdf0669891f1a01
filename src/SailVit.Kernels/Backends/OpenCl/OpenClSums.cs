using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Adds partial sums of chunks, or the rows of a matrix, on the OpenCL device in use.</summary>
internal static unsafe class OpenClSums
{
    /// <summary>result[i] = Σ over c of partials[c · stride + i · columnStride], for i below width.</summary>
    public static void Run(void* partials, DType type, long chunks, long stride, void* result, DType resultType, long width, long columnStride = 1)
    {
        if (width > 0)
        {
            var scalars = new SumScalars { Chunks = chunks, Stride = stride, Width = width, ColumnStride = columnStride };
            PortableDispatch.For(type, new Call(partials, result, resultType, scalars));
        }
    }

    private readonly struct Call(void* partials, void* result, DType resultType, SumScalars s) : IPortableCall
    {
        public void Invoke<S>() where S : unmanaged, IPortableElement<S> => PortableDispatch.For(resultType, new Of<S>(partials, result, s));

        private readonly struct Of<S>(void* partials, void* result, SumScalars s) : IPortableCall where S : unmanaged, IPortableElement<S>
        {
            public void Invoke<T>() where T : unmanaged, IPortableElement<T>
            {
                HostArray[] arrays =
                [
                    HostArray.Rows(partials, s.Chunks, ((s.Width - 1) * s.ColumnStride) + 1, s.Stride, sizeof(S)),
                    HostArray.Write(result, s.Width, sizeof(T)),
                ];
                long columns = OpenClRows.UsesManyLanes ? SumPortable<S, T, ManyLanes>.Columns : SumPortable<S, T, OneLane>.Columns;
                OpenClRows.Run(SumPortable<S, T, OneLane>.Kernel, SumPortable<S, T, ManyLanes>.Kernel, (s.Width + columns - 1) / columns, arrays, s);
            }
        }
    }
}
