using System.Runtime.InteropServices;
using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.Cpu.Gemm;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Linear;
using SailVit.Kernels.Ops.Norm;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>The products of the patch embedding; allocates results.</summary>
internal sealed unsafe partial class PatchEmbedMath(PatchEmbedOptions options, Tensor pixels, Tensor weight)
{
    private readonly DType _type = new TensorView(weight).DType;
    private readonly long _width = new TensorView(weight).Size(0);

    private delegate R GridFunction<R>(PatchGrid grid);

    /// <summary>Tokens without a norm: with the own product, everything in its epilogue.</summary>
    public Tensor Tokens(Tensor? bias, Tensor? position, Tensor? classToken)
    {
        if (options.Path == LinearPath.LibTorch)
        {
            return TokensByLibTorch(bias, position, classToken);
        }
        return OnGrid(grid =>
        {
            var output = Output(grid, classToken);
            using var rows = Rows.Of(position, int.MaxValue);
            Project(grid, output, bias, rows.Data, classToken is null ? 0 : 1);
            FillClassSlots(output, classToken, position);
            return output;
        });
    }

    /// <summary>Projection and bias alone, [B, patches, C].</summary>
    public Tensor Project(Tensor? bias) => options.Path == LinearPath.LibTorch ? ProjectByLibTorch(bias) : OnGrid(grid =>
    {
        var output = Output(grid, null);
        Project(grid, output, bias, null, 0);
        return output;
    });

    /// <summary>norm(projected) + position behind the class slots; statistics only for training.</summary>
    public (Tensor Output, Tensor? Statistics) Normalise<N>(Tensor projected, Tensor? gamma, Tensor? beta, Tensor? position, Tensor? classToken, bool training)
        where N : unmanaged, INormKind => OnGrid(grid =>
    {
        var output = Output(grid, classToken);
        var statistics = training ? Allocate.Empty([grid.Images * grid.Patches, RowStatistics.Count<N>()], DType.Float32) : null;
        long slots = classToken is null ? 0 : 1, rowBytes = _width * _type.Size();
        // A device's norm adds no positions.
        bool apart = Dispatcher.UsesOpenCl && position is not null;
        using var normed = apart ? Output(grid, null) : null;
        using var rows = Rows.Of(apart ? null : position, int.MaxValue);
        using var g = new FloatRow(gamma, _width, absent: 1);
        using var b = new FloatRow(beta, _width, absent: 0);
        for (long image = 0; image < grid.Images; image++)
        {
            NormLaunch<N>.Forward(
                new()
                {
                    X = new TensorView(projected).Data + (image * grid.Patches * rowBytes),
                    XStride = _width,
                    Gamma = g.Data,
                    Beta = b.Data,
                    Y = normed is null
                        ? new TensorView(output).Data + (((image * (slots + grid.Patches)) + slots) * rowBytes)
                        : new TensorView(normed).Data + (image * grid.Patches * rowBytes),
                    Addend = rows.Data == null ? null : rows.Data + (slots * rowBytes),
                    Statistics = statistics is null ? null : (float*)new TensorView(statistics).Data + (image * grid.Patches * RowStatistics.Count<N>()),
                    Rows = grid.Patches,
                    Width = _width,
                    Eps = options.Eps,
                },
                _type,
                _type);
        }
        if (normed is not null)
        {
            AddPositionsOnDevice(normed, output, position, slots);
        }
        FillClassSlots(output, classToken, position);
        return (output, statistics);
    });

    /// <summary>dW = Σ over images of dTokensᵀ · patches, [C, channels, P, P].</summary>
    public Tensor WeightGradient(Tensor dTokens) => Dispatcher.UsesOpenCl ? WeightGradientOnDevice(dTokens)
        : options.Path == LinearPath.LibTorch ? WeightGradientByLibTorch(dTokens)
        : OnGrid(grid =>
    {
        // Summed as [K, C]: at 14 px K is two equal blocks of whole tiles and C whole strips. As [C, K] the last strip is mostly
        // empty and more of the left matrix is copied (7.7 ms against 6.8 at 1,024 tokens of 1,024 channels, Zen 4).
        using var sums = Workspace.Rent(grid.Depth * _width * sizeof(float));
        NativeMemory.Clear(sums.Pointer, (nuint)(grid.Images == 0 ? grid.Depth * _width * sizeof(float) : 0));
        for (long image = 0; image < grid.Images; image++)
        {
            var patches = new LeftColumns<PatchRows>(new(grid, image * grid.Patches));
            var epilogue = new AccumulateEpilogue(sums.Floats, _width, begin: image == 0);
            Gemm.Run(patches, grid.Depth, RightOperand.Of(ImageOf(dTokens, image)), epilogue);
        }
        var view = new TensorView(weight);
        var result = Allocate.Empty(view.Sizes, view.DType, view);
        ElementDispatch.For(_type, new TransposeCall(sums.Floats, grid.Depth, _width, new TensorView(result).Data));
        return result;
    });

    /// <summary>dPixels = scale · dTokens · W, each patch back to its place, in the pixels' dtype.</summary>
    public Tensor PixelGradient(Tensor dTokens) => Dispatcher.UsesOpenCl ? PixelGradientOnDevice(dTokens) : OnGrid(grid =>
    {
        var view = new TensorView(pixels);
        var result = Allocate.Empty(view.Sizes, view.DType, view);
        using var w = Rows.Of(weight, 3);
        var right = RightOperand.Of(new MatrixView(w.Data, w.DType, w.Count, w.Width, w.Stride, 1));
        using var lease = Workspace.Rent(PackedMatrix.FloatsOf(right.Depth, right.Columns) * sizeof(float));
        var packed = new PackedMatrix(lease.Floats, right.Depth, right.Columns);
        right.Pack(0, packed);
        for (long image = 0; image < grid.Images; image++)
        {
            ElementDispatch.For(view.DType, new PixelCall(grid, image, ImageOf(dTokens, image), packed, new TensorView(result).Data));
        }
        return result;
    });

    /// <summary>dBias = Σ over tokens of dTokens.</summary>
    public static Tensor BiasGradient(Tensor dTokens, Tensor bias)
    {
        var gradient = LinearMath.BiasGradient(dTokens);
        return gradient.dtype == bias.dtype ? gradient : gradient.to(bias.dtype);
    }

    /// <summary>Sum over the first dimension, in the order of the images, in the shape of a parameter.</summary>
    public static Tensor SumOverImages(Tensor dy, int trailing, Tensor parameter)
    {
        using var rows = Rows.Of(dy, trailing);
        return PartialSums.ToTensor(rows.Data, rows.DType, rows.Count, rows.Stride, parameter);
    }

    private R OnGrid<R>(GridFunction<R> body)
    {
        var view = new TensorView(weight);
        fixed (float* scale = options.Scale, scaleRest = options.ScaleRest, shift = options.Shift, shiftRest = options.ShiftRest)
        {
            return body(new(new TensorView(pixels), view.Size(2), view.Size(3), scale, scaleRest, shift, shiftRest));
        }
    }

    private Tensor Output(in PatchGrid grid, Tensor? classToken) =>
        Allocate.Empty([grid.Images, grid.Patches + (classToken is null ? 0 : 1), _width], _type);

    private void Project(in PatchGrid grid, Tensor output, Tensor? bias, byte* position, long slots)
    {
        if (Dispatcher.UsesOpenCl)
        {
            ProjectOnDevice(grid, output, bias, position, slots);
            return;
        }
        using var b = new FloatRow(bias, _width, absent: 0);
        using var w = Rows.Of(weight, 3);
        var right = RightOperand.Transposed(new MatrixView(w.Data, w.DType, w.Count, w.Width, w.Stride, 1));
        ElementDispatch.For(_type, new ProjectCall(grid, right, new TensorView(output).Data, b.Data, position, slots, _width));
    }

    private void FillClassSlots(Tensor output, Tensor? classToken, Tensor? position)
    {
        if (classToken is null)
        {
            return;
        }
        long images = new TensorView(output).Size(0);
        using var token = classToken.reshape(1, _width);
        using var tokens = token.expand(images, _width);
        using var positions = position?.reshape(-1, _width);
        using var first = positions?.narrow(0, 0, 1);
        using var shifts = first?.expand(images, _width);
        using var slots = output.select(1, 0);
        using var a = Rows.Of(tokens, 1);
        using var b = Rows.Of(shifts, 1);
        using var y = Rows.Of(slots, 1);
        ElementwiseDispatch.Run<ActivationAndResidual<Identity>>(new() { A = a, B = b, Y = y });
    }

    private static MatrixView ImageOf(Tensor tokens, long image)
    {
        var view = new TensorView(tokens);
        return new(view.Data + (image * view.Stride(0) * view.DType.Size()), view.DType, view.Size(1), view.Size(2), view.Stride(1), view.Stride(2));
    }

    private readonly struct ProjectCall(PatchGrid grid, RightColumns right, byte* output, float* bias, byte* position, long slots, long width) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            Gemm.Run(new PatchRows(grid, 0), grid.Images * grid.Patches, right, new TokenEpilogue<T>(output, bias, position, slots, grid.Patches, width));
    }

    private readonly struct PixelCall(PatchGrid grid, long image, MatrixView dTokens, PackedMatrix right, byte* result) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            Gemm.Run(new LeftRows(dTokens), grid.Patches, right, new PixelEpilogue<T>(grid, image * grid.Patches, result));
    }

    private readonly struct TransposeCall(float* from, long depth, long width, byte* to) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            CpuBackend.Run(new TransposeStore<T>(from, depth, width, to), TransposeStore<T>.Items(depth), 1);
    }
}
