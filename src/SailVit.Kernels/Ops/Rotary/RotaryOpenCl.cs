using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Rotary;

/// <summary>Launches rotary embeddings on the OpenCL device in use.</summary>
internal static unsafe class RotaryOpenCl
{
    /// <param name="args">Operands.</param>
    /// <param name="tokens">T.</param>
    /// <param name="positions">Rows of the tables.</param>
    /// <param name="dtype">Of x and y.</param>
    public static void Run(in RotaryArgs args, long tokens, long positions, DType dtype) => PortableDispatch.For(dtype, new Call(args, tokens, positions));

    private readonly struct Call(RotaryArgs a, long tokens, long positions) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T>
        {
            long rows = tokens * a.Heads;
            if (rows == 0 || a.Half == 0)
            {
                return;
            }
            HostArray[] arrays =
            [
                HostArray.Read(a.X, ((tokens - 1) * a.TokenStride) + ((a.Heads - 1) * a.HeadStride) + (2 * a.Half), sizeof(T)),
                HostArray.Rows(a.Cos, positions, a.Half, a.CosStride, sizeof(float)),
                HostArray.Rows(a.Sin, positions, a.Half, a.SinStride, sizeof(float)),
                HostArray.Rows(a.Positions, tokens, 1, a.PositionStride, sizeof(long)),
                HostArray.Write(a.Y, rows * 2 * a.Half, sizeof(T)),
            ];
            var scalars = new RotaryScalars
            {
                TokenStride = a.TokenStride,
                HeadStride = a.HeadStride,
                CosStride = a.CosStride,
                SinStride = a.SinStride,
                PositionStride = a.PositionStride,
                Heads = a.Heads,
                Half = a.Half,
                Direction = a.Direction,
            };
            OpenClRows.Run(RotaryPortable<T, OneLane>.Kernel, RotaryPortable<T, ManyLanes>.Kernel, rows, arrays, scalars);
        }
    }
}
