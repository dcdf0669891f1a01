using SailVit.Kernels;
using SailVit.Kernels.Modules;
using SailVit.Model.Images;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Encoders;

/// <summary>Builds an encoder's modules from its configuration.</summary>
internal static class Parts
{
    public static Module<Tensor, Tensor> Norm(EncoderConfig config) => config.Norm == NormKind.RmsNorm
        ? new RMSNorm(config.HiddenSize, config.Eps)
        : new SailVit.Kernels.Modules.LayerNorm(config.HiddenSize, config.Eps);

    public static Block Block(EncoderConfig config, int index, bool initialize) => new(
        Norm(config),
        new Attention(config.HiddenSize, config.Heads, config.QkvBias, config.UseBias, config.QkNorm ? config.Eps : null, initialize: initialize),
        Norm(config),
        Mlp(config, initialize),
        config.HiddenSize,
        config.Family == EncoderFamily.Aimv2 ? BlockNames.Aimv2 : BlockNames.Timm,
        config.LayerScale ? config.LayerScaleInit : null,
        // Linear in depth, as in InternViT and timm.
        config.Layers == 1 ? config.DropPath : config.DropPath * index / (config.Layers - 1));

    // ImageNet's mean and deviation exist for three channels; other images come normalised.
    public static PatchEmbed Patches(EncoderConfig config, PatchNorm norm) => new(
        config.HiddenSize, config.PatchSize, config.Channels, norm, config.Eps,
        mean: config.Channels == 3 ? [.. ImageTransform.Mean] : null, std: config.Channels == 3 ? [.. ImageTransform.Std] : null);

    private static Module<Tensor, Tensor> Mlp(EncoderConfig config, bool initialize) => config.Mlp switch
    {
        MlpKind.SwiGlu => new SwiGLU(config.HiddenSize, config.IntermediateSize, config.UseBias, initialize: initialize),
        MlpKind.Gelu => new Mlp(config.HiddenSize, config.IntermediateSize, config.UseBias, initialize: initialize),
        _ => new Mlp(config.HiddenSize, config.IntermediateSize, config.UseBias, Activation.GeluTanh, initialize: initialize),
    };
}

/// <summary>A level of names in the state_dict without anything of its own.</summary>
internal sealed class Container : Module
{
    public Container(params (string Name, Module? Module)[] children) : base(nameof(Container))
    {
        foreach (var (name, module) in children)
        {
            if (module is not null)
            {
                register_module(name, module);
            }
        }
    }
}
