using SailVit.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Ops;

/// <summary>One image of 448 px to 1,024 tokens of 1,024 channels: with a position embedding, and as AIMv2 with RMSNorm too.</summary>
internal sealed class PatchEmbedBench : IOpBench
{
    private const int Patch = 14, Pixels = 448, Width = 1024, Tokens = 1024, Depth = 3 * Patch * Patch;
    private const double Eps = 1e-5;

    public IEnumerable<BenchCase> Cases() => Inputs.DTypes.SelectMany(dtype => Plain(dtype).Cases().Concat(Normed(dtype).Cases()));

    private static OpBench Plain(ScalarType dtype) => new()
    {
        Op = "patch_embed",
        Shape = $"{Pixels}px P{Patch} {Width}",
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

    private static OpBench Normed(ScalarType dtype) => Plain(dtype) with
    {
        Shape = $"{Pixels}px P{Patch} {Width} rms_norm",
        Inputs = () => [.. Plain(dtype).Inputs(), Inputs.Gain(dtype, Width)],
        Ours = t => [functional.patch_embed(t[0], t[1], t[2], t[4], norm: PatchNorm.RmsNorm, eps: Eps, position: t[3])],
        Stock = t => [Norm(Project(t), t[4]) + t[3]],
        Baseline = "conv2d, flatten, transpose, pow, mean, rsqrt, mul, add",
        Differentiable = [false, true, true, true, true],
    };

    private static Tensor Project(Tensor[] t) => nn.functional.conv2d(t[0], t[1], t[2], strides: [Patch, Patch]).flatten(2).transpose(1, 2);

    private static Tensor Norm(Tensor x, Tensor weight) => x * (x.pow(2).mean([-1], keepdim: true) + Eps).rsqrt() * weight;
}
