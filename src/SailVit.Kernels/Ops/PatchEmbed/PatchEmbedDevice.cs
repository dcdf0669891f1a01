using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Linear;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>The products on an OpenCL device.</summary>
internal sealed unsafe partial class PatchEmbedMath
{
    // The bias and, for the patches of every image alike, the position are the product's epilogue, as on the CPU.
    private void ProjectOnDevice(in PatchGrid grid, Tensor output, Tensor? bias, byte* position, long slots)
    {
        using var channels = Channels(grid);
        using var b = new FloatRow(bias, _width);
        using var w = Rows.Of(weight, 3);
        int size = _type.Size();
        long images = grid.Images, tokens = slots + grid.Patches;
        var to = new LinearOutput(new TensorView(output).Data + (slots * _width * size), images * grid.Patches, _width)
        {
            Bias = b.Data,
            Residual = position == null ? null : position + (slots * _width * size),
            ResidualStride = _width,
            RowsOfItem = grid.Patches,
            OutputItemStride = tokens * _width,
        };
        LinearOpenCl.Run(new PatchPanels(grid, channels.Floats, numbers: false), new MatrixPanels(Matrix(w), columns: false), null, Activation.None, to, _type);
    }

    private Tensor WeightGradientOnDevice(Tensor dTokens) => OnGrid(grid =>
    {
        using var channels = Channels(grid);
        using var left = new OpenClMatrix(dTokens);
        var view = new TensorView(weight);
        var result = Allocate.Empty(view.Sizes, view.DType, view);
        using var matrix = result.view(_width, -1);
        LinearOpenCl.Product(new MatrixPanels(left.View, columns: true), new PatchPanels(grid, channels.Floats, numbers: true), matrix, add: false);
        return result;
    });

    private Tensor PixelGradientOnDevice(Tensor dTokens) => OnGrid(grid =>
    {
        using var channels = Channels(grid);
        using var left = new OpenClMatrix(dTokens);
        using var w = Rows.Of(weight, 3);
        var view = new TensorView(pixels);
        var result = Allocate.Empty(view.Sizes, view.DType, view);
        PortableDispatch.For(view.DType, new ScatterCall(left.View, Matrix(w), grid.RowMajorScalars, channels.Floats, new TensorView(result).Data, view.Length));
        return result;
    });

    // The norm goes without a position on a device: it is added in a pass of its own.
    private void AddPositionsOnDevice(Tensor normed, Tensor output, Tensor? position, long slots)
    {
        using var positions = position?.reshape(-1, _width);
        using var patchPositions = positions?.narrow(0, slots, positions.shape[0] - slots);
        using var patchTokens = output.narrow(1, slots, normed.shape[1]);
        for (long image = 0; image < normed.shape[0]; image++)
        {
            using var from = normed.select(0, image);
            using var to = patchTokens.select(0, image);
            using var a = Rows.Of(from, 1);
            using var b = Rows.Of(patchPositions, 1);
            using var y = Rows.Of(to, 1);
            ElementwiseDispatch.Run<ActivationAndResidual<Identity>>(new() { A = a, B = b, Y = y });
        }
    }

    private static Workspace.Lease Channels(in PatchGrid grid)
    {
        var lease = Workspace.Rent(grid.Channels * PatchGrid.ChannelValues * sizeof(float));
        grid.WriteChannels(lease.Floats);
        return lease;
    }

    private static MatrixView Matrix(in Rows w) => new(w.Data, w.DType, w.Count, w.Width, w.Stride, 1);

    private readonly struct ScatterCall(MatrixView dTokens, MatrixView weight, PatchScalars scalars, float* channels, byte* result, long length) : IPortableCall
    {
        public void Invoke<T>() where T : unmanaged, IPortableElement<T> => OpenClProduct.Run(
            new MatrixPanels(dTokens, columns: false), new MatrixPanels(weight, columns: true), new PixelGradientLaunch<T>(scalars, channels, result, length));
    }
}
