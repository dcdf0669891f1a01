using SailVit.Kernels.Modules;
using TorchSharp;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Language;

/// <summary>A pre-norm decoder block: x + attention(norm x), then x + mlp(norm x). Keys: input_layernorm, self_attn,
/// post_attention_layernorm, mlp.{gate,up,down}_proj.</summary>
internal sealed class DecoderLayer : Module
{
    [ComponentName(Name = "input_layernorm")]
    private readonly RMSNorm _inputNorm;

    [ComponentName(Name = "self_attn")]
    private readonly SelfAttention _attention;

    [ComponentName(Name = "post_attention_layernorm")]
    private readonly RMSNorm _postNorm;

    [ComponentName(Name = "mlp")]
    private readonly SwiGLU _mlp;

    public DecoderLayer(LanguageConfig config, int layer, ScalarType dtype, bool initialize) : base(nameof(DecoderLayer))
    {
        _inputNorm = new(config.HiddenSize, config.Eps, dtype: dtype);
        _attention = new(config, layer, dtype, initialize);
        _postNorm = new(config.HiddenSize, config.Eps, dtype: dtype);
        _mlp = new(config.HiddenSize, config.IntermediateSize, dtype: dtype, names: SwiGluNames.Llama, initialize: initialize);
        RegisterComponents();
    }

    /// <summary>[T, C] → [T, C].</summary>
    public Tensor Forward(Tensor x, DecoderPass pass)
    {
        using var scope = NewDisposeScope();
        var afterAttention = _attention.Forward(_inputNorm.call(x), x, pass);
        return _mlp.forward(_postNorm.call(afterAttention), afterAttention).MoveToOuterDisposeScope();
    }
}
