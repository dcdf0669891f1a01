using SailVit.Model.Language;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace SailVit.Bench.Stock;

/// <summary>The language model in TorchSharp's own ops with a cache of keys and values, as its users write it: the baseline of generation.</summary>
/// <remarks>Reads the weights of the fused model where they are. The cache is one block of memory per layer, written in place,
/// which is the best that a careful user does.</remarks>
public sealed class StockLanguageModel : IDisposable
{
    private readonly LanguageConfig _config;
    private readonly Dictionary<string, Tensor> _weights;
    private readonly Tensor _cos, _sin;
    private readonly Tensor[] _keys, _values;

    /// <summary>Over the weights of <paramref name="model"/>, for one sequence.</summary>
    public StockLanguageModel(CausalLanguageModel model, long capacity)
    {
        ArgumentNullException.ThrowIfNull(model);
        _config = model.Config;
        _weights = model.state_dict().ToDictionary(p => p.Key, p => p.Value.detach().DetachFromDisposeScope());
        var dtype = model.Head.dtype;
        using var scope = NewDisposeScope();
        var frequencies = pow(_config.RopeTheta, arange(_config.HeadDim / 2, dtype: float64) * (-2.0 / _config.HeadDim));
        var angles = outer(arange(capacity, dtype: float64), frequencies).repeat(1, 2);
        _cos = angles.cos().to(dtype).DetachFromDisposeScope();
        _sin = angles.sin().to(dtype).DetachFromDisposeScope();
        Tensor Room() => empty([1, _config.KvHeads, capacity, _config.HeadDim], dtype: dtype).DetachFromDisposeScope();
        _keys = [.. Enumerable.Range(0, _config.Layers).Select(_ => Room())];
        _values = [.. Enumerable.Range(0, _config.Layers).Select(_ => Room())];
    }

    /// <summary>Tokens in the cache.</summary>
    public long Held { get; set; }

    /// <summary>Scores of what follows the last token of <paramref name="ids"/>, [1, V].</summary>
    public Tensor Next(Tensor ids)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        var x = _weights["model.embed_tokens.weight"].index_select(0, ids);
        for (int i = 0; i < _config.Layers; i++)
        {
            using var layer = NewDisposeScope();
            var previous = x;
            x = Layer(x, i).MoveToOuterDisposeScope();
            previous.Dispose();
        }
        Held += ids.shape[0];
        var last = Norm(x.narrow(0, x.shape[0] - 1, 1), "model.norm");
        return linear(last, _weights[_config.TieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight"]).MoveToOuterDisposeScope();
    }

    private Tensor Layer(Tensor x, int i)
    {
        string name = $"model.layers.{i}";
        x = x + Attention(Norm(x, $"{name}.input_layernorm"), $"{name}.self_attn", i);
        var h = Norm(x, $"{name}.post_attention_layernorm");
        return x + Linear(silu(Linear(h, $"{name}.mlp.gate_proj")) * Linear(h, $"{name}.mlp.up_proj"), $"{name}.mlp.down_proj");
    }

    private Tensor Attention(Tensor x, string name, int i)
    {
        long tokens = x.shape[0];
        var q = Turn(Normed(Heads(Linear(x, $"{name}.q_proj"), _config.Heads), $"{name}.q_norm"));
        var k = Turn(Normed(Heads(Linear(x, $"{name}.k_proj"), _config.KvHeads), $"{name}.k_norm"));
        _keys[i].narrow(2, Held, tokens).copy_(k);
        _values[i].narrow(2, Held, tokens).copy_(Heads(Linear(x, $"{name}.v_proj"), _config.KvHeads));
        long group = _config.Heads / _config.KvHeads;
        var keys = _keys[i].narrow(2, 0, Held + tokens).repeat_interleave(group, 1);
        var values = _values[i].narrow(2, 0, Held + tokens).repeat_interleave(group, 1);
        var y = scaled_dot_product_attention(q, keys, values, is_casual: tokens > 1);
        return Linear(y.transpose(1, 2).reshape(tokens, -1), $"{name}.o_proj");
    }

    // [T, H·D] → [1, H, T, D]
    private Tensor Heads(Tensor x, long heads) => x.view(1, x.shape[0], heads, _config.HeadDim).transpose(1, 2);

    private Tensor Normed(Tensor x, string name) => _config.QkNorm ? Norm(x, name) : x;

    private Tensor Turn(Tensor x)
    {
        var (cos, sin) = (_cos.narrow(0, Held, x.shape[2]), _sin.narrow(0, Held, x.shape[2]));
        var halves = x.chunk(2, -1);
        return (x * cos) + (cat([-halves[1], halves[0]], -1) * sin);
    }

    private Tensor Norm(Tensor x, string name)
    {
        var wide = x.to(float32);
        return (wide * (wide.pow(2).mean([-1], keepdim: true) + _config.Eps).rsqrt()).to(x.dtype) * _weights[$"{name}.weight"];
    }

    private Tensor Linear(Tensor x, string name) => linear(x, _weights[$"{name}.weight"], _weights.GetValueOrDefault($"{name}.bias"));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in _weights.Values.Concat(_keys).Concat(_values))
        {
            tensor.Dispose();
        }
        _cos.Dispose();
        _sin.Dispose();
    }
}
