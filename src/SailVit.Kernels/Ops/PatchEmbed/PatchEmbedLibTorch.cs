using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Linear;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>The products by libtorch, on patches gathered into a matrix of the weight's dtype.</summary>
internal sealed unsafe partial class PatchEmbedMath
{
    private Tensor TokensByLibTorch(Tensor? bias, Tensor? position, Tensor? classToken)
    {
        var product = ProjectByLibTorch(bias);
        if (position is null && classToken is null)
        {
            return product;
        }
        long patches = product.shape[1], slots = classToken is null ? 0 : 1;
        var output = classToken is null ? product : OnGrid(grid => Output(grid, classToken));
        using var positions = position?.reshape(slots + patches, _width);
        using var patchPositions = positions?.narrow(0, slots, patches);
        using var patchTokens = output.narrow(1, slots, patches);
        for (long image = 0; image < product.shape[0]; image++)
        {
            using var from = product.select(0, image);
            using var to = patchTokens.select(0, image);
            using var a = Rows.Of(from, 1);
            using var b = Rows.Of(patchPositions, 1);
            using var y = Rows.Of(to, 1);
            RowMap.For<ActivationAndResidual<Identity>>(new() { A = a, B = b, Y = y });
        }
        if (classToken is not null)
        {
            FillClassSlots(output, classToken, position);
            product.Dispose();
        }
        return output;
    }

    private Tensor ProjectByLibTorch(Tensor? bias)
    {
        using var patches = GatherPatches();
        using var matrix = weight.reshape(_width, -1);
        // A float32 bias of 16-bit weights is added in float32.
        bool fused = bias?.dtype == weight.dtype;
        using var product = nn.functional.linear(patches, matrix, fused ? bias : null);
        if (bias is not null && !fused)
        {
            product.add_(bias, HeldScalar.One);
        }
        return product.view(pixels.shape[0], OnGrid(grid => grid.Patches), _width);
    }

    private Tensor WeightGradientByLibTorch(Tensor dTokens)
    {
        using var patches = GatherPatches();
        using var gradient = LinearMath.WeightGradient(LinearPath.LibTorch, dTokens, patches);
        return gradient.view(weight.shape);
    }

    private Tensor GatherPatches() => OnGrid(grid =>
    {
        long count = grid.Images * grid.Patches;
        var result = Allocate.Empty([count, grid.Depth], _type);
        ElementDispatch.For(_type, new GatherCall(grid, count, new TensorView(result).Data));
        return result;
    });

    private readonly struct GatherCall(PatchGrid grid, long count, byte* to) : IElementCall
    {
        public void Invoke<T>() where T : unmanaged, IElement =>
            CpuBackend.Run(new GatherPatches<T>(grid, to), count, RowGrain.Of(grid.Depth));
    }
}
