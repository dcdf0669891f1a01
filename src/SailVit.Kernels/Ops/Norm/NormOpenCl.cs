using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>Launches the norms on the OpenCL device in use. T: type of x and y; R: type of the residual stream.</summary>
internal static unsafe class NormOpenCl<N> where N : unmanaged, INormKind
{
    public static void Forward(in NormForwardArgs args, DType t, DType r)
    {
        if (args.Addend != null)
        {
            throw new NotSupportedException("The norms have no OpenCL kernel that adds positions; patch_embed adds them in a pass of its own.");
        }
        PortableDispatch.For(t, new ForwardCall(args, r));
    }

    public static void Backward(in NormBackwardArgs args, long chunks, DType t, DType r) => PortableDispatch.For(t, new BackwardCall(args, chunks, r));

    // Float32 rows of whole vectors have a kernel of their own on processors.
    private static PortableKernel Processor<T, R>(long width, PortableKernel vector, PortableKernel scalar) =>
        typeof(T) == typeof(PortableF32) && typeof(R) == typeof(PortableF32) && VectorRow<N, No>.Takes(width) ? vector : scalar;

    private readonly struct ForwardCall(NormForwardArgs args, DType r) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T> => PortableDispatch.For(r, new Of<T>(args));

        private readonly struct Of<T>(NormForwardArgs a) : IPortableCall where T : unmanaged, IPortableElement<T>
        {
            public void Invoke<R>() where R : unmanaged, IPortableElement<R>
            {
                HostArray[] arrays =
                [
                    HostArray.Rows(a.X, a.Rows, a.Width, a.XStride, sizeof(T)),
                    HostArray.Rows(a.Residual, a.Rows, a.Width, a.ResidualStride, sizeof(R)),
                    HostArray.Read(a.Gamma, a.Width, sizeof(float)),
                    HostArray.Read(N.Centers ? a.Beta : null, a.Width, sizeof(float)),
                    HostArray.Write(a.Y, a.Rows * a.Width, sizeof(T)),
                    HostArray.Write(a.Sum, a.Rows * a.Width, sizeof(R)),
                    HostArray.Write(a.Statistics, a.Rows * RowStatistics.Count<N>(), sizeof(float)),
                ];
                var scalars = new NormForwardScalars
                {
                    XStride = a.XStride,
                    ResidualStride = a.ResidualStride,
                    Width = a.Width,
                    Eps = (float)a.Eps,
                    Saves = a.Statistics == null ? 0 : 1,
                };
                if (a.Residual == null)
                {
                    OpenClRows.Run(Processor<T, T>(a.Width, NormVectorForward<N, No>.Kernel, NormPortableForward<T, T, N, No, OneLane>.Kernel), NormPortableForward<T, T, N, No, ManyLanes>.Kernel, a.Rows, arrays, scalars);
                }
                else
                {
                    OpenClRows.Run(Processor<T, R>(a.Width, NormVectorForward<N, Yes>.Kernel, NormPortableForward<T, R, N, Yes, OneLane>.Kernel), NormPortableForward<T, R, N, Yes, ManyLanes>.Kernel, a.Rows, arrays, scalars);
                }
            }
        }
    }

    private readonly struct BackwardCall(NormBackwardArgs args, long chunks, DType r) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T> => PortableDispatch.For(r, new Of<T>(args, chunks));

        private readonly struct Of<T>(NormBackwardArgs a, long chunks) : IPortableCall where T : unmanaged, IPortableElement<T>
        {
            public void Invoke<R>() where R : unmanaged, IPortableElement<R>
            {
                using var lease = Workspace.Rent(a.OfRoundedSum ? a.Rows * RowStatistics.Count<N>() * sizeof(float) : 0);
                var x = HostArray.Rows(a.X, a.Rows, a.Width, a.XStride, sizeof(R));
                var dy = HostArray.Rows(a.Dy, a.Rows, a.Width, a.DyStride, sizeof(T));
                var statistics = HostArray.Read(a.OfRoundedSum ? lease.Floats : a.Statistics, a.Rows * RowStatistics.Count<N>(), sizeof(float));
                var scalars = new NormBackwardScalars
                {
                    XStride = a.XStride,
                    DyStride = a.DyStride,
                    DSumStride = a.DSumStride,
                    Rows = a.Rows,
                    RowsPerChunk = a.RowsPerChunk,
                    Width = a.Width,
                    Eps = (float)a.Eps,
                    OfRoundedSum = a.OfRoundedSum ? 1 : 0,
                    WantsDx = a.Dx == null ? 0 : 1,
                    WantsDResidual = a.DResidual == null ? 0 : 1,
                };
                if (a.Dx != null || a.DResidual != null || a.OfRoundedSum)
                {
                    HostArray[] arrays =
                    [
                        x,
                        dy,
                        HostArray.Rows(a.DSum, a.Rows, a.Width, a.DSumStride, sizeof(R)),
                        HostArray.Read(a.Gamma, a.Width, sizeof(float)),
                        statistics with { IsWritten = a.OfRoundedSum },
                        HostArray.Write(a.Dx, a.Rows * a.Width, sizeof(T)),
                        HostArray.Write(a.DResidual, a.Rows * a.Width, sizeof(R)),
                    ];
                    if (a.DSum == null)
                    {
                        OpenClRows.Run(NormPortableBackward<T, R, N, No, OneLane>.Kernel, NormPortableBackward<T, R, N, No, ManyLanes>.Kernel, a.Rows, arrays, scalars);
                    }
                    else
                    {
                        OpenClRows.Run(NormPortableBackward<T, R, N, Yes, OneLane>.Kernel, NormPortableBackward<T, R, N, Yes, ManyLanes>.Kernel, a.Rows, arrays, scalars);
                    }
                }
                if (a.Partials != null)
                {
                    var partials = HostArray.Write(a.Partials, chunks * a.Width * (N.Centers ? 2 : 1), sizeof(float));
                    long channels = OpenClRows.UsesManyLanes ? NormPortableParameters<T, R, N, ManyLanes>.Channels : NormPortableParameters<T, R, N, OneLane>.Channels;
                    long groups = chunks * ((a.Width + channels - 1) / channels);
                    OpenClRows.Run(
                        NormPortableParameters<T, R, N, OneLane>.Kernel, NormPortableParameters<T, R, N, ManyLanes>.Kernel, groups, [x, dy, statistics, partials], scalars);
                }
            }
        }
    }
}
