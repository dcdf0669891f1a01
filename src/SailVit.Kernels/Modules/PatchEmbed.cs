using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>Images to tokens, by <see cref="functional.patch_embed"/>. State: <c>proj.weight</c>, <c>proj.bias</c>, and
/// <c>norm.weight</c> (and <c>norm.bias</c>) where there is a norm.</summary>
public sealed class PatchEmbed : Module<Tensor, Tensor>
{
    [ComponentName(Name = "proj")]
    private readonly Conv2d _proj;

    [ComponentName(Name = "norm")]
    private readonly Module<Tensor, Tensor>? _norm;

    private readonly PatchNorm _kind;
    private readonly double _eps;
    private readonly float[]? _mean;
    private readonly float[]? _std;

    /// <summary>Creates the layer with a convolution's initial weights.</summary>
    /// <param name="embed_dim">Channels of a token, C.</param>
    /// <param name="patch_size">Edge of a patch in pixels, P.</param>
    /// <param name="in_channels">Channels of a pixel.</param>
    /// <param name="norm">Norm between projection and position.</param>
    /// <param name="eps">Of the norm.</param>
    /// <param name="bias">Whether the projection has a bias.</param>
    /// <param name="mean">Per channel, subtracted from uint8 pixels after division by 255; floats come normalised. Null: 0.</param>
    /// <param name="std">Per channel, divides what is left; null: 1.</param>
    /// <exception cref="ArgumentException">A size is below 1.</exception>
    public PatchEmbed(
        long embed_dim, long patch_size, long in_channels = 3, PatchNorm norm = PatchNorm.None, double eps = 1e-5, bool bias = true,
        float[]? mean = null, float[]? std = null)
        : base(nameof(PatchEmbed))
    {
        if (embed_dim < 1 || patch_size < 1 || in_channels < 1)
        {
            throw new ArgumentException($"embed_dim is {embed_dim}, patch_size {patch_size}, in_channels {in_channels}; each must be at least 1.");
        }
        _proj = Conv2d(in_channels, embed_dim, patch_size, stride: patch_size, bias: bias);
        _norm = norm switch
        {
            PatchNorm.RmsNorm => new RMSNorm(embed_dim, eps),
            PatchNorm.LayerNorm => new LayerNorm(embed_dim, eps),
            _ => null,
        };
        (_kind, _eps, _mean, _std) = (norm, eps, mean, std);
        RegisterComponents();
    }

    /// <summary>Holds the projection's weight and bias; it is never run as a convolution.</summary>
    public Module Projection => _proj;

    /// <summary>[C, channels, P, P].</summary>
    public Parameter weight => _proj.weight!;

    /// <summary>[C]; null if there is none.</summary>
    public Parameter? bias => _proj.bias;

    /// <inheritdoc/>
    public override Tensor forward(Tensor pixels) => forward(pixels, null);

    /// <summary>Tokens with positions added, behind a class token if one is given.</summary>
    /// <param name="pixels">[B, channels, H, W]; a floating-point type or uint8.</param>
    /// <param name="position">[N, C] or [1, N, C], with the class slot if there is a class token.</param>
    /// <param name="cls_token">The first token of each image, [1, 1, C].</param>
    public Tensor forward(Tensor pixels, Tensor? position, Tensor? cls_token = null)
    {
        var (gamma, beta) = _norm switch
        {
            RMSNorm n => (n.weight, null),
            LayerNorm n => (n.weight, n.bias),
            _ => ((Parameter?)null, (Parameter?)null),
        };
        ArgumentNullException.ThrowIfNull(pixels);
        bool bytes = pixels.dtype == ScalarType.Byte;
        return functional.patch_embed(pixels, weight, bias, gamma, beta, _kind, _eps, position, cls_token, bytes ? _mean : null, bytes ? _std : null);
    }
}
