using SailVit.Model.Encoders;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Bench.Stock;

/// <summary>AIMv2: convolution, norm, position.</summary>
internal sealed class StockPreprocessor : StockModule
{
    private readonly EncoderConfig _config;
    private readonly Conv2d _proj;
    private readonly Module<Tensor, Tensor>? _norm;

    [ComponentName(Name = "pos_embed")]
    private readonly Parameter? _position;

    public StockPreprocessor(EncoderConfig config) : base(nameof(StockPreprocessor))
    {
        _config = config;
        _proj = StockPatches.Projection(config);
        _norm = config.PatchNorm ? StockParts.Norm(config) : null;
        register_module("patchifier", new StockNames(("proj", _proj), ("norm", _norm)));
        if (config.Position == PositionKind.Learned)
        {
            _position = Parameter(empty(1, config.Tokens, config.HiddenSize).normal_(0, 0.02));
            register_parameter("pos_embed", _position);
        }
    }

    public override Tensor forward(Tensor pixels)
    {
        using var scope = NewDisposeScope();
        var patches = _proj.call(pixels);
        var (rows, columns) = (patches.shape[2], patches.shape[3]);
        var x = StockPatches.Tokens(patches);
        x = _norm?.call(x) ?? x;
        return (x + StockPatches.Position(_position, _config, rows, columns, x.dtype)).MoveToOuterDisposeScope();
    }
}

/// <summary>InternViT: convolution, class token in front, position.</summary>
internal sealed class StockEmbeddings : StockModule
{
    private readonly EncoderConfig _config;
    private readonly Conv2d _proj;

    [ComponentName(Name = "class_embedding")]
    private readonly Parameter? _class;

    [ComponentName(Name = "position_embedding")]
    private readonly Parameter? _position;

    public StockEmbeddings(EncoderConfig config) : base(nameof(StockEmbeddings))
    {
        _config = config;
        _proj = StockPatches.Projection(config);
        register_module("patch_embedding", _proj);
        if (config.ClassToken)
        {
            _class = Parameter(randn(1, 1, config.HiddenSize));
            register_parameter("class_embedding", _class);
        }
        if (config.Position == PositionKind.Learned)
        {
            _position = Parameter(randn(1, config.Tokens, config.HiddenSize));
            register_parameter("position_embedding", _position);
        }
    }

    public override Tensor forward(Tensor pixels)
    {
        using var scope = NewDisposeScope();
        var patches = _proj.call(pixels);
        var (rows, columns) = (patches.shape[2], patches.shape[3]);
        var x = StockPatches.Tokens(patches);
        x = _class is null ? x : cat([_class.expand(x.shape[0], -1, -1), x], dim: 1);
        return (x + StockPatches.Position(_position, _config, rows, columns, x.dtype)).MoveToOuterDisposeScope();
    }
}

internal static class StockPatches
{
    public static Conv2d Projection(EncoderConfig config) =>
        Conv2d(config.Channels, config.HiddenSize, config.PatchSize, stride: config.PatchSize);

    // [B, C, rows, columns] → [B, N, C]
    public static Tensor Tokens(Tensor patches) => patches.flatten(2).transpose(1, 2);

    public static Tensor Position(Parameter? learned, EncoderConfig config, long rows, long columns, ScalarType dtype)
    {
        if (learned is null)
        {
            var fixedPositions = SinCos(rows, columns, config.HiddenSize).to(dtype);
            return config.ClassToken ? cat([zeros(1, 1, config.HiddenSize, dtype: dtype), fixedPositions], dim: 1) : fixedPositions;
        }
        if (rows == config.GridHeight && columns == config.GridWidth)
        {
            return learned;
        }
        long extra = config.ClassToken ? 1 : 0;
        var grid = learned.narrow(1, extra, config.GridHeight * config.GridWidth)
            .reshape(1, config.GridHeight, config.GridWidth, -1).permute(0, 3, 1, 2);
        var resized = functional.interpolate(grid.to(float32), [rows, columns], mode: InterpolationMode.Bicubic, align_corners: false);
        return cat([learned.narrow(1, 0, extra), resized.flatten(2).transpose(1, 2).to(learned.dtype)], dim: 1);
    }

    // First half of the channels: column, second half: row; each half sines, then cosines.
    private static Tensor SinCos(long rows, long columns, long channels)
    {
        var omega = pow(10000.0, arange(channels / 4, dtype: float32) / (channels / 4)).reciprocal();
        var column = outer(arange(columns, dtype: float32).repeat(rows), omega);
        var row = outer(arange(rows, dtype: float32).repeat_interleave(columns), omega);
        return cat([column.sin(), column.cos(), row.sin(), row.cos()], dim: 1).unsqueeze(0);
    }
}
