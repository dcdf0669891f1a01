using SailVit.Kernels;
using SailVit.Kernels.Modules;
using SailVit.Model.Images;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Encoders;

/// <summary>The part of an encoder that makes tokens of pixels.</summary>
internal interface IPatchEmbedding
{
    /// <summary>[B, 3, H, W] → [B, N, C], positions added in this way.</summary>
    Tensor Embed(Tensor pixels, PositionMode mode);
}

/// <summary>Pixels to tokens in the AIMv2 family: patch projection, norm, position. Keys: patchifier.proj, patchifier.norm, pos_embed.</summary>
internal sealed class Aimv2Preprocessor : Module<Tensor, Tensor>, IPatchEmbedding
{
    private readonly EncoderConfig _config;
    private readonly PatchEmbed _patchifier;

    [ComponentName(Name = "pos_embed")]
    private readonly Parameter? _posEmbed;

    public Aimv2Preprocessor(EncoderConfig config) : base(nameof(Aimv2Preprocessor))
    {
        _config = config;
        var norm = !config.PatchNorm ? PatchNorm.None : config.Norm == NormKind.RmsNorm ? PatchNorm.RmsNorm : PatchNorm.LayerNorm;
        _patchifier = Parts.Patches(config, norm);
        register_module("patchifier", _patchifier);
        if (config.Position == PositionKind.Learned)
        {
            _posEmbed = Parameter(empty(1, config.Tokens, config.HiddenSize).normal_(0, 0.02));
            register_parameter("pos_embed", _posEmbed);
        }
    }

    public override Tensor forward(Tensor pixels) => Embed(pixels, PositionMode.Bicubic);

    public Tensor Embed(Tensor pixels, PositionMode mode)
    {
        using var scope = NewDisposeScope();
        var grid = PixelGrid.Of(pixels, _config);
        var position = mode == PositionMode.AxialRotary ? null
            : _posEmbed is null ? PositionGrid.SinCos(grid.Rows, grid.Columns, _config.HiddenSize).to(_patchifier.weight.dtype)
            : PositionGrid.Resize(_posEmbed, (_config.GridHeight, _config.GridWidth), grid, mode == PositionMode.Bilinear);
        return _patchifier.forward(pixels, position).MoveToOuterDisposeScope();
    }

    protected override void RegisterComponents() { }
}

/// <summary>Pixels to tokens in InternViT: patch projection with bias, class token in front, position.</summary>
internal sealed class InternVitEmbeddings : Module<Tensor, Tensor>, IPatchEmbedding
{
    private readonly EncoderConfig _config;
    private readonly PatchEmbed _patch;

    [ComponentName(Name = "class_embedding")]
    private readonly Parameter? _classEmbedding;

    [ComponentName(Name = "position_embedding")]
    private readonly Parameter? _positionEmbedding;

    public InternVitEmbeddings(EncoderConfig config) : base(nameof(InternVitEmbeddings))
    {
        _config = config;
        _patch = Parts.Patches(config, PatchNorm.None);
        register_module("patch_embedding", _patch.Projection);
        if (config.ClassToken)
        {
            _classEmbedding = Parameter(randn(1, 1, config.HiddenSize));
            register_parameter("class_embedding", _classEmbedding);
        }
        if (config.Position == PositionKind.Learned)
        {
            _positionEmbedding = Parameter(randn(1, config.Tokens, config.HiddenSize));
            register_parameter("position_embedding", _positionEmbedding);
        }
    }

    public override Tensor forward(Tensor pixels) => Embed(pixels, PositionMode.Bicubic);

    public Tensor Embed(Tensor pixels, PositionMode mode)
    {
        using var scope = NewDisposeScope();
        var grid = PixelGrid.Of(pixels, _config);
        var position = mode == PositionMode.AxialRotary ? null
            : _positionEmbedding is null ? SinCos(grid)
            : PositionGrid.Resize(_positionEmbedding, (_config.GridHeight, _config.GridWidth), grid, mode == PositionMode.Bilinear);
        return _patch.forward(pixels, position, _classEmbedding).MoveToOuterDisposeScope();
    }

    private Tensor SinCos((long Rows, long Columns) grid)
    {
        var patches = PositionGrid.SinCos(grid.Rows, grid.Columns, _config.HiddenSize).to(_patch.weight.dtype);
        return _classEmbedding is null ? patches : cat([zeros_like(_classEmbedding), patches], dim: 1);
    }

    protected override void RegisterComponents() { }
}

/// <summary>Rows and columns of patches in a batch of images.</summary>
internal static class PixelGrid
{
    /// <exception cref="ArgumentException">Not [B, C, H, W], other channels, or sides that are no multiples of the patch.</exception>
    public static (long Rows, long Columns) Of(Tensor pixels, EncoderConfig config)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        var shape = pixels.shape;
        if (shape.Length != 4 || shape[1] != config.Channels)
        {
            throw new ArgumentException($"pixels has shape [{string.Join(", ", shape)}]; it must be [B, {config.Channels}, H, W].", nameof(pixels));
        }
        int patch = config.PatchSize;
        if (shape[2] == 0 || shape[3] == 0 || shape[2] % patch != 0 || shape[3] % patch != 0)
        {
            throw new ArgumentException($"pixels is {shape[2]} × {shape[3]} px; both sides must be positive multiples of the patch size {patch}. Resize the image.", nameof(pixels));
        }
        return (shape[2] / patch, shape[3] / patch);
    }
}
