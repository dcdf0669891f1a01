using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Linear;
using SailVit.Kernels.Ops.Norm;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.PatchEmbed;

/// <summary>Inputs: pixels, weight, bias, norm weight, norm bias, position, class token.</summary>
/// <remarks>Saved: pixels and weight; with a norm also the projection and the norm's statistics. The gradient runs
/// backwards through the steps: the class slot and the positions are sums over images, then the norm, then the product.</remarks>
internal sealed class PatchEmbedFunction : OpFunction<PatchEmbedFunction, PatchEmbedOptions>
{
    private const int Pixels = 0, Weight = 1, Bias = 2, NormWeight = 3, NormBias = 4, Position = 5, ClassToken = 6;

    public override string Name => "patch_embed";

    public static Tensor Apply(PatchEmbedOptions options, params Tensor?[] inputs)
    {
        LinearOp.Log("patch_embed", options.Path, new(inputs[Pixels]!), new(inputs[Weight]!));
        return NeedsGraph(inputs) ? Run(options, inputs)[0] : Compute(options, inputs, training: false).Output;
    }

    protected override ForwardResult Forward(PatchEmbedOptions state, Tensor?[] inputs)
    {
        var (output, projected, statistics) = Compute(state, inputs, training: true);
        return new([output], [inputs[Pixels], inputs[Weight], projected, statistics, inputs[NormWeight], inputs[NormBias], inputs[Bias], inputs[Position], inputs[ClassToken]]);
    }

    private static (Tensor Output, Tensor? Projected, Tensor? Statistics) Compute(PatchEmbedOptions options, Tensor?[] inputs, bool training)
    {
        var math = new PatchEmbedMath(options, inputs[Pixels]!, inputs[Weight]!);
        if (options.Norm == PatchNorm.None)
        {
            return (math.Tokens(inputs[Bias], inputs[Position], inputs[ClassToken]), null, null);
        }
        var projected = math.Project(inputs[Bias]);
        var (output, statistics) = options.Norm == PatchNorm.RmsNorm
            ? math.Normalise<RootMeanSquare>(projected, inputs[NormWeight], null, inputs[Position], inputs[ClassToken], training)
            : math.Normalise<Centered>(projected, inputs[NormWeight], inputs[NormBias], inputs[Position], inputs[ClassToken], training);
        if (!training)
        {
            projected.Dispose();
            return (output, null, null);
        }
        return (output, projected, statistics);
    }

    protected override Tensor?[] Backward(PatchEmbedOptions state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
    {
        var gradients = new Tensor?[needed.Length];
        if (grads[0] is not { } dy)
        {
            return gradients;
        }
        var (pixels, weight, projected, statistics) = (saved[0]!, saved[1]!, saved[2], saved[3]);
        var (normWeight, normBias, bias, position, classToken) = (saved[4], saved[5], saved[6], saved[7], saved[8]);
        var math = new PatchEmbedMath(state, pixels, weight);
        gradients[Position] = needed[Position] ? PatchEmbedMath.SumOverImages(dy, 2, position!) : null;
        gradients[ClassToken] = needed[ClassToken] ? PatchEmbedMath.SumOverImages(dy.select(1, 0), 1, classToken!) : null;
        var dTokens = classToken is null ? dy : dy.narrow(1, 1, dy.shape[1] - 1);
        bool product = needed[Pixels] || needed[Weight] || needed[Bias];
        if (projected is not null && (product || needed[NormWeight] || needed[NormBias]))
        {
            var options = new NormOptions(1, state.Eps, projected.dtype);
            var request = new NormGradient(options, projected, statistics!, normWeight, normBias, dTokens, null)
            {
                InputWanted = product,
                WeightWanted = needed[NormWeight],
                BiasWanted = needed[NormBias],
            };
            var norm = state.Norm == PatchNorm.RmsNorm ? NormOp<RootMeanSquare>.Backward(request) : NormOp<Centered>.Backward(request);
            (gradients[NormWeight], gradients[NormBias]) = (norm[1], norm[2]);
            dTokens = norm[0] ?? dTokens;
        }
        gradients[Pixels] = needed[Pixels] ? math.PixelGradient(dTokens) : null;
        gradients[Weight] = needed[Weight] ? math.WeightGradient(dTokens) : null;
        gradients[Bias] = needed[Bias] ? PatchEmbedMath.BiasGradient(dTokens, bias!) : null;
        return gradients;
    }
}
