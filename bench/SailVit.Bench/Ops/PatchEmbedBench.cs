using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>One image of 448 px to 1,024 tokens of 1,024 channels: the projection alone, with a position embedding, and as
/// AIMv2 with RMSNorm too; from normalised pixels and from bytes.</summary>
internal sealed class PatchEmbedBench : IOpBench
{
    private const int Patch = 14, Pixels = 448, Width = 1024, Tokens = 1024, Depth = 3 * Patch * Patch;
    private const double Eps = 1e-5;

    private static readonly float[] Mean = [0.48f, 0.46f, 0.41f], Std = [0.27f, 0.26f, 0.28f];

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype =>
        ((OpBench[])[Plain(dtype), Positioned(dtype), Normed(dtype), Bytes(dtype)]).SelectMany(bench => bench.Cases()));

    private static OpBench Plain(ScalarType dtype) => Positioned(dtype) with
    {
        Shape = $"{Pixels}px P{Patch} {Width}",
        Inputs = () => Positioned(dtype).Inputs()[..3],
        Ours = t => [functional.patch_embed(t[0], t[1], t[2])],
        Stock = t => [Project(t)],
        Baseline = "conv2d, flatten, transpose",
        Differentiable = [false, true, true],
    };

    private static OpBench Positioned(ScalarType dtype) => new()
    {
        Op = "patch_embed",
        Shape = $"{Pixels}px P{Patch} {Width} position",
        DType = dtype,
        Inputs = () =>
        [
            Inputs.Normal(dtype, 1, 3, Pixels, Pixels), Inputs.Weight(dtype, Width, 3, Patch, Patch),
            Inputs.Normal(dtype, Width), Inputs.Normal(dtype, 1, Tokens, Width),
        ],
        Ours = t => [functional.patch_embed(t[0], t[1], t[2], position: t[3])],
        Stock = t => [Project(t) + t[3]],
        Baseline = "conv2d, flatten, transpose, add",
        Differentiable = [false, true, true, true],
        Forward = Work.MatrixProduct(dtype, Tokens, Width, Depth),
        Backward = Work.MatrixProduct(dtype, Depth, Width, Tokens),
    };

    private static OpBench Normed(ScalarType dtype) => Positioned(dtype) with
    {
        Shape = $"{Pixels}px P{Patch} {Width} position rms_norm",
        Inputs = () => [.. Positioned(dtype).Inputs(), Inputs.Gain(dtype, Width)],
        Ours = t => [functional.patch_embed(t[0], t[1], t[2], t[4], norm: PatchNorm.RmsNorm, eps: Eps, position: t[3])],
        Stock = t => [Norm(Project(t), t[4]) + t[3]],
        Baseline = "conv2d, flatten, transpose, pow, mean, rsqrt, mul, add",
        Differentiable = [false, true, true, true, true],
    };

    private static OpBench Bytes(ScalarType dtype) => Positioned(dtype) with
    {
        Shape = $"{Pixels}px P{Patch} {Width} uint8",
        Inputs = () => [Inputs.Normal(float32, 1, 3, Pixels, Pixels).mul(64).add(128).clamp(0, 255).to(uint8), .. Positioned(dtype).Inputs()[1..3]],
        Ours = t => [functional.patch_embed(t[0], t[1], t[2], mean: Mean, std: Std)],
        Stock = t => [Project([Normalised(t[0], t[1].dtype), t[1], t[2]])],
        Baseline = "to, div, sub, div, conv2d, flatten, transpose",
        Differentiable = [false, true, true],
    };

    private static Tensor Normalised(Tensor bytes, ScalarType dtype)
    {
        var (mean, std) = (tensor(Mean, dtype).view(1, 3, 1, 1), tensor(Std, dtype).view(1, 3, 1, 1));
        return ((bytes.to(dtype) / 255) - mean) / std;
    }

    private static Tensor Project(Tensor[] t) => nn.functional.conv2d(t[0], t[1], t[2], strides: [Patch, Patch]).flatten(2).transpose(1, 2);

    private static Tensor Norm(Tensor x, Tensor weight) => x * (x.pow(2).mean([-1], keepdim: true) + Eps).rsqrt() * weight;
}
