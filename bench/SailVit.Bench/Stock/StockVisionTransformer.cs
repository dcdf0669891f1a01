using SailVit.Model.Encoders;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Bench.Stock;

/// <summary>The encoder in TorchSharp's own modules, as its users write it: the baseline of the model benchmarks.</summary>
/// <remarks>State_dict keys are those of the fused encoder (<c>VisionTransformer</c>), so that both can hold the same weights.
/// Intermediate tensors are freed block by block, which is the best that a careful user does.</remarks>
public sealed class StockVisionTransformer : StockModule
{
    private readonly Module<Tensor, Tensor> _embeddings;
    private readonly ModuleList<StockBlock> _blocks;
    private readonly Module<Tensor, Tensor>? _finalNorm;

    /// <summary>Makes an encoder with random weights.</summary>
    public StockVisionTransformer(EncoderConfig config) : base(nameof(StockVisionTransformer))
    {
        ArgumentNullException.ThrowIfNull(config);
        config.Validate();
        bool aimv2 = config.Family == EncoderFamily.Aimv2;
        _embeddings = aimv2 ? new StockPreprocessor(config) : new StockEmbeddings(config);
        _blocks = ModuleList([.. Enumerable.Range(0, config.Layers).Select(i => new StockBlock(config, i))]);
        _finalNorm = config.FinalNorm ? StockParts.Norm(config) : null;
        register_module(aimv2 ? "preprocessor" : "embeddings", _embeddings);
        register_module(aimv2 ? "trunk" : "encoder", aimv2
            ? new StockNames(("blocks", _blocks), ("post_trunk_norm", _finalNorm))
            : new StockNames(("layers", _blocks), ("norm", _finalNorm)));
    }

    /// <summary>Keeps one activation per block in training and computes the rest again in backward.</summary>
    public bool GradientCheckpointing { get; set; }

    /// <summary>[B, C, H, W], normalised, to [B, N, C].</summary>
    public override Tensor forward(Tensor pixels)
    {
        using var scope = NewDisposeScope();
        var x = _embeddings.call(pixels);
        foreach (var block in _blocks)
        {
            using var previous = x;
            x = GradientCheckpointing && training ? SailVit.Kernels.functional.checkpoint(block.call, x) : block.call(x);
        }
        return (_finalNorm is null ? x.alias() : _finalNorm.call(x)).MoveToOuterDisposeScope();
    }
}

/// <summary>Pre-norm block: x + attention(norm x), then x + mlp(norm x).</summary>
internal sealed class StockBlock : StockModule
{
    private readonly Module<Tensor, Tensor> _norm1, _norm2, _attention, _mlp;

    // Module.to(dtype) replaces parameters, and finds the fields to update (by reflection, so readonly is no bar) by these names.
    [ComponentName(Name = "ls1")]
    private readonly Parameter? _scale1;

    [ComponentName(Name = "ls2")]
    private readonly Parameter? _scale2;

    private readonly double _dropPath;

    public StockBlock(EncoderConfig config, int index) : base(nameof(StockBlock))
    {
        bool aimv2 = config.Family == EncoderFamily.Aimv2;
        _norm1 = StockParts.Norm(config);
        _attention = new StockAttention(config);
        _norm2 = StockParts.Norm(config);
        _mlp = config.Mlp == MlpKind.SwiGlu ? new StockSwiGlu(config) : new StockMlp(config);
        // Linear in depth.
        _dropPath = config.Layers == 1 ? config.DropPath : config.DropPath * index / (config.Layers - 1);
        register_module(aimv2 ? "norm_1" : "norm1", _norm1);
        register_module("attn", _attention);
        register_module(aimv2 ? "norm_2" : "norm2", _norm2);
        register_module("mlp", _mlp);
        if (config.LayerScale)
        {
            _scale1 = Parameter(full(config.HiddenSize, (float)config.LayerScaleInit));
            _scale2 = Parameter(full(config.HiddenSize, (float)config.LayerScaleInit));
            register_parameter("ls1", _scale1);
            register_parameter("ls2", _scale2);
        }
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        x = x + Branch(_attention.call(_norm1.call(x)), _scale1);
        x = x + Branch(_mlp.call(_norm2.call(x)), _scale2);
        return x.MoveToOuterDisposeScope();
    }

    private Tensor Branch(Tensor y, Parameter? scale)
    {
        y = scale is null ? y : y * scale;
        return training && _dropPath > 0
            ? y * empty([y.shape[0], 1, 1], y.dtype).bernoulli_(1 - _dropPath) / (1 - _dropPath)
            : y;
    }
}

/// <summary>Self-attention by TorchSharp's scaled_dot_product_attention.</summary>
internal sealed class StockAttention : StockModule
{
    private readonly Linear _qkv, _proj;
    private readonly StockRmsNorm? _normQ, _normK;
    private readonly int _heads;

    public StockAttention(EncoderConfig config) : base(nameof(StockAttention))
    {
        int c = config.HiddenSize;
        _heads = config.Heads;
        _qkv = Linear(c, 3 * c, config.QkvBias);
        _proj = Linear(c, c, config.UseBias);
        register_module("qkv", _qkv);
        register_module("proj", _proj);
        if (config.QkNorm)
        {
            _normQ = new StockRmsNorm(c, config.Eps);
            _normK = new StockRmsNorm(c, config.Eps);
            register_module("q_norm", _normQ);
            register_module("k_norm", _normK);
        }
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        var (batch, tokens, channels) = (x.shape[0], x.shape[1], x.shape[2]);
        var parts = _qkv.call(x).chunk(3, dim: -1);
        var q = Heads(_normQ?.call(parts[0]) ?? parts[0], batch, tokens);
        var k = Heads(_normK?.call(parts[1]) ?? parts[1], batch, tokens);
        var v = Heads(parts[2], batch, tokens);
        var y = functional.scaled_dot_product_attention(q, k, v);
        // [B, H, N, D] → [B, N, C]
        return _proj.call(y.transpose(1, 2).reshape(batch, tokens, channels)).MoveToOuterDisposeScope();
    }

    // [B, N, C] → [B, H, N, D]
    private Tensor Heads(Tensor x, long batch, long tokens) => x.reshape(batch, tokens, _heads, -1).transpose(1, 2);
}

/// <summary>fc2(silu(fc1 x) · fc3 x).</summary>
internal sealed class StockSwiGlu : StockModule
{
    private readonly Linear _fc1, _fc2, _fc3;

    public StockSwiGlu(EncoderConfig config) : base(nameof(StockSwiGlu))
    {
        _fc1 = Linear(config.HiddenSize, config.IntermediateSize, config.UseBias);
        _fc2 = Linear(config.IntermediateSize, config.HiddenSize, config.UseBias);
        _fc3 = Linear(config.HiddenSize, config.IntermediateSize, config.UseBias);
        register_module("fc1", _fc1);
        register_module("fc2", _fc2);
        register_module("fc3", _fc3);
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return _fc2.call(functional.silu(_fc1.call(x)) * _fc3.call(x)).MoveToOuterDisposeScope();
    }
}

/// <summary>fc2(gelu(fc1 x)).</summary>
internal sealed class StockMlp : StockModule
{
    private readonly Linear _fc1, _fc2;
    private readonly TorchSharp.Modules.GELU.Approximate _approximate;

    public StockMlp(EncoderConfig config) : base(nameof(StockMlp))
    {
        _approximate = config.Mlp == MlpKind.GeluTanh ? TorchSharp.Modules.GELU.Approximate.tanh : TorchSharp.Modules.GELU.Approximate.none;
        _fc1 = Linear(config.HiddenSize, config.IntermediateSize, config.UseBias);
        _fc2 = Linear(config.IntermediateSize, config.HiddenSize, config.UseBias);
        register_module("fc1", _fc1);
        register_module("fc2", _fc2);
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return _fc2.call(functional.gelu(_fc1.call(x), _approximate)).MoveToOuterDisposeScope();
    }
}

/// <summary>x / rms(x) · weight in basic ops: TorchSharp has no RMSNorm.</summary>
internal sealed class StockRmsNorm : StockModule
{
    [ComponentName(Name = "weight")]
    private readonly Parameter _weight;

    private readonly double _eps;

    public StockRmsNorm(long width, double eps) : base(nameof(StockRmsNorm))
    {
        _eps = eps;
        _weight = Parameter(ones(width));
        register_parameter("weight", _weight);
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return (x * (x.pow(2).mean([-1], keepdim: true) + _eps).rsqrt() * _weight).MoveToOuterDisposeScope();
    }
}

/// <summary>Modules and parameters are registered by name in constructors; without this TorchSharp would register the fields
/// again under their own names.</summary>
public abstract class StockModule : Module<Tensor, Tensor>
{
    private protected StockModule(string name) : base(name) { }

    /// <inheritdoc/>
    protected sealed override void RegisterComponents() { }
}

/// <summary>A level of names in the state_dict.</summary>
internal sealed class StockNames : Module
{
    public StockNames(params (string Name, Module? Module)[] children) : base(nameof(StockNames))
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

internal static class StockParts
{
    public static Module<Tensor, Tensor> Norm(EncoderConfig config) => config.Norm == NormKind.RmsNorm
        ? new StockRmsNorm(config.HiddenSize, config.Eps)
        : LayerNorm(config.HiddenSize, config.Eps);
}
