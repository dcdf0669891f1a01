using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Runs an element-wise function over rows on the OpenCL device in use.</summary>
internal static class OpenClMap
{
    /// <summary>Applies <typeparamref name="M"/> to every element of A.</summary>
    public static void For<M>(in MapOperands o) where M : unmanaged, IElementMap => PortableDispatch.For(o.A.DType, new Call<M>(o));

    private readonly unsafe ref struct Call<M>(MapOperands o) : IPortableCall where M : unmanaged, IElementMap
    {
        private readonly MapOperands _o = o;

        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            if (_o.A.Count * _o.A.Width == 0)
            {
                return;
            }
            switch (_o.B.Data != null, _o.C.Data != null, _o.Y.Data != null, _o.Z.Data != null)
            {
                case (false, false, true, false):
                    Run<T, MapShape<No, No, Yes, No>>();
                    break;
                case (true, false, true, false):
                    Run<T, MapShape<Yes, No, Yes, No>>();
                    break;
                case (true, true, true, true):
                    Run<T, MapShape<Yes, Yes, Yes, Yes>>();
                    break;
                case (true, true, true, false):
                    Run<T, MapShape<Yes, Yes, Yes, No>>();
                    break;
                case (true, true, false, true):
                    Run<T, MapShape<Yes, Yes, No, Yes>>();
                    break;
                default:
                    throw new InvalidOperationException($"{typeof(M).Name} has operands for which no kernel is written.");
            }
        }

        private void Run<T, O>() where T : unmanaged, IPortableElement<T> where O : unmanaged, IMapShape
        {
            long length = _o.A.Count * _o.A.Width;
            bool dense = _o.IsDense;
            long width = dense ? MapOperands.DenseWidth : _o.A.Width;
            long rows = (length + width - 1) / width;
            ReadOnlySpan<HostArray> arrays =
            [
                Read(_o.A, sizeof(T)), Read(_o.B, sizeof(T)), Read(_o.C, sizeof(T)), Read(_o.Y, sizeof(T)) with { IsWritten = true }, Read(_o.Z, sizeof(T)) with { IsWritten = true },
            ];
            var scalars = new MapScalars
            {
                AStride = dense ? width : _o.A.Stride,
                BStride = dense ? width : _o.B.Stride,
                CStride = dense ? width : _o.C.Stride,
                YStride = dense ? width : _o.Y.Stride,
                ZStride = dense ? width : _o.Z.Stride,
                Width = width,
                Length = length,
            };
            OpenClRows.Run(MapPortable<T, M, O, OneLane>.Kernel, MapPortable<T, M, O, ManyLanes>.Kernel, rows, arrays, scalars);
        }

        private static HostArray Read(in Rows rows, int size) => HostArray.Rows(rows.Data, rows.Count, rows.Width, rows.Stride, size);
    }
}
