using SailVit.Kernels.Modules;
using TorchSharp;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Language;

/// <summary>What every layer of one forward pass reads.</summary>
/// <param name="CuSeqlens">[S + 1], int64.</param>
/// <param name="Positions">[T], int64.</param>
/// <param name="Cos">Rotary table.</param>
/// <param name="Sin">Rotary table.</param>
/// <param name="Layout">The sequences.</param>
/// <param name="Cache">Null without one.</param>
internal sealed record DecoderPass(Tensor CuSeqlens, Tensor Positions, Tensor Cos, Tensor Sin, SequenceLayout Layout, KvCache? Cache);

/// <summary>Causal attention with grouped queries. Keys: q_proj, k_proj, v_proj, o_proj, and q_norm, k_norm where there is a QK-norm.</summary>
internal sealed class SelfAttention : Module
{
    [ComponentName(Name = "q_proj")]
    private readonly Kernels.Modules.Linear _q;

    [ComponentName(Name = "k_proj")]
    private readonly Kernels.Modules.Linear _k;

    [ComponentName(Name = "v_proj")]
    private readonly Kernels.Modules.Linear _v;

    [ComponentName(Name = "o_proj")]
    private readonly Kernels.Modules.Linear _o;

    [ComponentName(Name = "q_norm")]
    private readonly RMSNorm? _qNorm;

    [ComponentName(Name = "k_norm")]
    private readonly RMSNorm? _kNorm;

    private readonly LanguageConfig _config;
    private readonly int _layer;

    public SelfAttention(LanguageConfig config, int layer, ScalarType dtype, bool initialize) : base(nameof(SelfAttention))
    {
        (_config, _layer) = (config, layer);
        long queries = (long)config.Heads * config.HeadDim, keys = (long)config.KvHeads * config.HeadDim;
        _q = new(config.HiddenSize, queries, config.QkvBias, dtype: dtype, initialize: initialize);
        _k = new(config.HiddenSize, keys, config.QkvBias, dtype: dtype, initialize: initialize);
        _v = new(config.HiddenSize, keys, config.QkvBias, dtype: dtype, initialize: initialize);
        _o = new(queries, config.HiddenSize, hasBias: false, dtype: dtype, initialize: initialize);
        if (config.QkNorm)
        {
            _qNorm = new(config.HeadDim, config.Eps, dtype: dtype);
            _kNorm = new(config.HeadDim, config.Eps, dtype: dtype);
        }
        RegisterComponents();
    }

    /// <summary>residual + attention(x), both [T, C].</summary>
    public Tensor Forward(Tensor x, Tensor residual, DecoderPass pass)
    {
        using var scope = NewDisposeScope();
        var q = Turned(_q.forward(x), _config.Heads, _qNorm, pass);
        var k = Turned(_k.forward(x), _config.KvHeads, _kNorm, pass);
        var v = Heads(_v.forward(x), _config.KvHeads);
        var y = pass.Cache is { } cache ? Cached(q, k, v, pass.Layout, cache)
            : F.attention_varlen(q, k, v, pass.CuSeqlens, pass.CuSeqlens, is_causal: true);
        return _o.forward(y.view(x.shape[0], -1), residual).MoveToOuterDisposeScope();
    }

    private Tensor Cached(Tensor q, Tensor k, Tensor v, SequenceLayout layout, KvCache cache)
    {
        var (keys, values) = cache.Layer(_layer);
        return F.attention_kvcache_(q, k, v, keys, values, layout.CuSeqlens, cache.Lengths);
    }

    // [T, H·D] → [T, H, D]
    private Tensor Heads(Tensor x, int heads) => x.view(-1, heads, _config.HeadDim);

    private Tensor Turned(Tensor x, int heads, RMSNorm? norm, DecoderPass pass)
    {
        var h = Heads(x, heads);
        return F.rotary_embedding(norm is null ? h : norm.call(h), pass.Cos, pass.Sin, pass.Positions);
    }
}
