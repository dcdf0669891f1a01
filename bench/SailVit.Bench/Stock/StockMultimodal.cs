using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Bench.Stock;

/// <summary>The multimodal model in TorchSharp's own ops: the baseline of a training step.</summary>
/// <remarks>Attention runs sequence by sequence, which is faster than one masked matrix over the whole pack; the loss is
/// <c>cross_entropy</c> of all logits.</remarks>
public sealed class StockMultimodal : IDisposable
{
    private readonly MultimodalConfig _config;
    private readonly StockVisionTransformer _vision;
    private readonly Dictionary<string, Parameter> _weights;

    /// <summary>Makes a copy with the weights of a model whose last hidden state is used.</summary>
    public StockMultimodal(MultimodalModel model, ScalarType dtype)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (model.Config is not { SelectLayer: -1, PixelShuffleVersion: PixelShuffleVersion.V2 })
        {
            throw new ArgumentException("The baseline has the last hidden state and pixel shuffle v2 only.", nameof(model));
        }
        _config = model.Config;
        _vision = new StockVisionTransformer(_config.Vision);
        _vision.load_state_dict(model.Vision.state_dict());
        _vision.to(dtype);
        _weights = model.named_parameters().Where(p => !p.name.StartsWith("vision_model.", StringComparison.Ordinal))
            .ToDictionary(p => p.name, p => Parameter(p.parameter.detach().to(dtype, copy: true)));
    }

    /// <summary>All parameters by the names of the model's.</summary>
    public IReadOnlyDictionary<string, Parameter> Parameters =>
        _vision.named_parameters().Select(p => ($"vision_model.{p.name}", p.parameter)).Concat(_weights.Select(w => (w.Key, w.Value))).ToDictionary(p => p.Item1, p => p.Item2);

    /// <summary>Σ w·cross-entropy / Σ w.</summary>
    public Tensor Loss(PackedBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        using var scope = NewDisposeScope();
        var x = W("language_model.model.embed_tokens.weight").index_select(0, batch.Ids);
        if (batch.Pixels is not null)
        {
            x = x.index_copy(0, batch.Ids.eq(_config.ImageContextTokenId).nonzero().view(-1), Images(batch.Pixels));
        }
        var (cos, sin) = Rotary(batch.Layout.Positions);
        for (int i = 0; i < _config.Language.Layers; i++)
        {
            x = Layer(x, $"language_model.model.layers.{i}.", batch.Layout, cos, sin);
        }
        var head = _config.Language.TieEmbeddings ? W("language_model.model.embed_tokens.weight") : W("language_model.lm_head.weight");
        long predictions = batch.Ids.shape[0] - 1;
        var logits = functional.linear(Norm(x, "language_model.model.norm.weight").narrow(0, 0, predictions), head);
        var weights = batch.Weights.narrow(0, 1, predictions).to(logits.dtype);
        var losses = functional.cross_entropy(logits, batch.Labels.narrow(0, 1, predictions), ignore_index: PackedBatch.Ignored, reduction: Reduction.None);
        return ((losses * weights).sum() / weights.sum()).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _vision.Dispose();
        foreach (var weight in _weights.Values)
        {
            weight.Dispose();
        }
    }

    private Parameter W(string name) => _weights[name];

    private Tensor Images(Tensor pixels)
    {
        using var scope = NewDisposeScope();
        var dtype = W("mlp1.1.weight").dtype;
        var mean = tensor(ImageTransform.Mean.ToArray()).to(dtype).view(1, 3, 1, 1);
        var std = tensor(ImageTransform.Std.ToArray()).to(dtype).view(1, 3, 1, 1);
        var x = _vision.call(((pixels.to(dtype) / 255) - mean) / std);
        long tiles = x.shape[0], side = _config.ForceImageSize / _config.Vision.PatchSize, merge = _config.Merge, channels = x.shape[2];
        var merged = x.view(tiles, side / merge, merge, side / merge, merge, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, merge * merge * channels);
        var normed = functional.layer_norm(merged, [merged.shape[1]], W("mlp1.0.weight"), W("mlp1.0.bias"));
        var inner = functional.gelu(functional.linear(normed, W("mlp1.1.weight"), W("mlp1.1.bias")));
        return functional.linear(inner, W("mlp1.3.weight"), W("mlp1.3.bias")).MoveToOuterDisposeScope();
    }

    private Tensor Layer(Tensor x, string prefix, SequenceLayout layout, Tensor cos, Tensor sin)
    {
        using var scope = NewDisposeScope();
        var h = Norm(x, prefix + "input_layernorm.weight");
        x = x + Attention(h, prefix + "self_attn.", layout, cos, sin);
        h = Norm(x, prefix + "post_attention_layernorm.weight");
        var gate = functional.silu(functional.linear(h, W(prefix + "mlp.gate_proj.weight")));
        return (x + functional.linear(gate * functional.linear(h, W(prefix + "mlp.up_proj.weight")), W(prefix + "mlp.down_proj.weight"))).MoveToOuterDisposeScope();
    }

    private Tensor Attention(Tensor x, string prefix, SequenceLayout layout, Tensor cos, Tensor sin)
    {
        using var scope = NewDisposeScope();
        int group = _config.Language.Heads / _config.Language.KvHeads;
        var q = Turn(Heads(x, prefix, "q", _config.Language.Heads), cos, sin);
        var k = Turn(Heads(x, prefix, "k", _config.Language.KvHeads), cos, sin).repeat_interleave(group, 1);
        var v = Heads(x, prefix, "v", _config.Language.KvHeads).repeat_interleave(group, 1);
        var parts = Enumerable.Range(0, layout.Sequences).Select(s =>
        {
            Tensor Of(Tensor all) => all.narrow(0, layout.CuSeqlens[s], layout.Length(s)).transpose(0, 1).unsqueeze(0);
            return functional.scaled_dot_product_attention(Of(q), Of(k), Of(v), is_casual: true).squeeze(0).transpose(0, 1);
        });
        return functional.linear(cat([.. parts], 0).reshape(x.shape[0], -1), W(prefix + "o_proj.weight")).MoveToOuterDisposeScope();
    }

    // [T, C] → [T, H, D], normed where the model does so.
    private Tensor Heads(Tensor x, string prefix, string name, int heads)
    {
        using var scope = NewDisposeScope();
        var h = functional.linear(x, W($"{prefix}{name}_proj.weight"), _weights.GetValueOrDefault($"{prefix}{name}_proj.bias")).view(x.shape[0], heads, -1);
        return (_weights.ContainsKey($"{prefix}{name}_norm.weight") ? Norm(h, $"{prefix}{name}_norm.weight") : h).MoveToOuterDisposeScope();
    }

    private Tensor Norm(Tensor x, string weight)
    {
        using var scope = NewDisposeScope();
        return (x * (x.pow(2).mean([-1], keepdim: true) + _config.Language.Eps).rsqrt() * W(weight)).MoveToOuterDisposeScope();
    }

    private static Tensor Turn(Tensor x, Tensor cos, Tensor sin)
    {
        using var scope = NewDisposeScope();
        var halves = x.chunk(2, -1);
        return ((x * cos) + (cat([-halves[1], halves[0]], -1) * sin)).MoveToOuterDisposeScope();
    }

    // [T, 1, D]
    private (Tensor Cos, Tensor Sin) Rotary(Tensor positions)
    {
        int d = _config.Language.HeadDim;
        var angles = outer(positions.to(float64), pow(_config.Language.RopeTheta, arange(d / 2, dtype: float64) * (-2.0 / d)));
        var both = cat([angles, angles], -1).unsqueeze(1);
        var dtype = W("mlp1.1.weight").dtype;
        return (both.cos().to(dtype), both.sin().to(dtype));
    }
}
