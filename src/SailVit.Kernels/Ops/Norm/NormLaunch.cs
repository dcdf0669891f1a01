using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>From run-time dtypes to the kernel made for them. T: type of x and y; R: type of the residual stream.</summary>
internal static class NormLaunch<N> where N : unmanaged, INormKind
{
    public static void Forward(in NormForwardArgs args, DType t, DType r)
    {
        if (Dispatcher.UsesOpenCl)
        {
            NormOpenCl<N>.Forward(args, t, r);
            return;
        }
        ElementDispatch.For(t, new ForwardCall(args, r));
    }

    public static void Backward(in NormBackwardArgs args, long chunks, DType t, DType r)
    {
        if (Dispatcher.UsesOpenCl)
        {
            NormOpenCl<N>.Backward(args, chunks, t, r);
            return;
        }
        ElementDispatch.For(t, new BackwardCall(args, chunks, r));
    }

    private readonly struct ForwardCall(NormForwardArgs args, DType r) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement => ElementDispatch.For(r, new Of<T>(args));

        private readonly struct Of<T>(NormForwardArgs args) : IElementCall where T : unmanaged, IElement
        {
            public void Invoke<R>() where R : unmanaged, IElement =>
                CpuBackend.Run(new NormForward<T, R, N>(args), args.Rows, RowGrain.Of(args.Width));
        }
    }

    private readonly struct BackwardCall(NormBackwardArgs args, long chunks, DType r) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement => ElementDispatch.For(r, new Of<T>(args, chunks));

        private readonly struct Of<T>(NormBackwardArgs args, long chunks) : IElementCall where T : unmanaged, IElement
        {
            public void Invoke<R>() where R : unmanaged, IElement =>
                CpuBackend.Run(new NormBackward<T, R, N>(args), chunks, RowGrain.Of(args.Width * args.RowsPerChunk));
        }
    }
}
