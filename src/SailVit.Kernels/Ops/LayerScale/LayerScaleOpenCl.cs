using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.LayerScale;

/// <summary>Launches LayerScale with residual on the OpenCL device in use.</summary>
internal static unsafe class LayerScaleOpenCl
{
    public static void Forward(in LayerScaleArgs args, DType dtype) => PortableDispatch.For(dtype, new ForwardCall(args));

    public static void Backward(in LayerScaleArgs args, long chunks, DType dtype) => PortableDispatch.For(dtype, new BackwardCall(args, chunks));

    private static LayerScaleScalars Scalars(in LayerScaleArgs a) => new()
    {
        ResidualStride = a.ResidualStride,
        BranchStride = a.BranchStride,
        DyStride = a.DyStride,
        Rows = a.Rows,
        RowsPerSample = a.RowsPerSample,
        RowsPerChunk = a.RowsPerChunk,
        Width = a.Width,
        HasKeep = a.Keep == null ? 0 : 1,
        WantsBranch = a.Y == null ? 0 : 1,
        WantsPartials = a.Partials == null ? 0 : 1,
    };

    private static HostArray Gamma(in LayerScaleArgs a) => HostArray.Read(a.Gamma, a.Width, sizeof(float));

    private static HostArray Keep(in LayerScaleArgs a) => HostArray.Read(a.Keep, (a.Rows + a.RowsPerSample - 1) / a.RowsPerSample, sizeof(float));

    private readonly struct ForwardCall(LayerScaleArgs a) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            HostArray[] arrays =
            [
                HostArray.Rows(a.Residual, a.Rows, a.Width, a.ResidualStride, sizeof(T)),
                HostArray.Rows(a.Branch, a.Rows, a.Width, a.BranchStride, sizeof(T)),
                Gamma(a),
                Keep(a),
                HostArray.Write(a.Y, a.Rows * a.Width, sizeof(T)),
            ];
            if (a.Gamma == null)
            {
                OpenClRows.Run(LayerScalePortableForward<T, No, OneLane>.Kernel, LayerScalePortableForward<T, No, ManyLanes>.Kernel, a.Rows, arrays, Scalars(a));
            }
            else
            {
                OpenClRows.Run(LayerScalePortableForward<T, Yes, OneLane>.Kernel, LayerScalePortableForward<T, Yes, ManyLanes>.Kernel, a.Rows, arrays, Scalars(a));
            }
        }
    }

    private readonly struct BackwardCall(LayerScaleArgs a, long chunks) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            HostArray[] arrays =
            [
                HostArray.Rows(a.Branch, a.Rows, a.Width, a.BranchStride, sizeof(T)),
                HostArray.Rows(a.Dy, a.Rows, a.Width, a.DyStride, sizeof(T)),
                Gamma(a),
                Keep(a),
                HostArray.Write(a.Y, a.Rows * a.Width, sizeof(T)),
                HostArray.Write(a.Partials, chunks * a.Width, sizeof(float)),
            ];
            if (a.Gamma == null)
            {
                OpenClRows.Run(LayerScalePortableBackward<T, No, OneLane>.Kernel, LayerScalePortableBackward<T, No, ManyLanes>.Kernel, chunks, arrays, Scalars(a));
            }
            else
            {
                OpenClRows.Run(LayerScalePortableBackward<T, Yes, OneLane>.Kernel, LayerScalePortableBackward<T, Yes, ManyLanes>.Kernel, chunks, arrays, Scalars(a));
            }
        }
    }
}
