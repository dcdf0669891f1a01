using SailVit.Kernels.Interop;
using SailVit.Kernels.Modules;
using SailVit.Model.Encoders;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Language;

/// <summary>A decoder-only language model of the Qwen2, Qwen2.5 or Qwen3 (dense) architecture, on fused kernels.</summary>
/// <remarks>State_dict keys as published: <c>model.embed_tokens.weight</c>, <c>model.layers.i.self_attn.q_proj.weight</c> …,
/// <c>model.norm.weight</c>, and <c>lm_head.weight</c> where the head is not tied.
/// Sources: Qwen2, arXiv 2407.10671; Qwen3, arXiv 2505.09388.</remarks>
public sealed class CausalLanguageModel : nn.Module
{
    private readonly Embedding _embedding;
    private readonly DecoderLayer[] _layers;
    private readonly RMSNorm _norm;
    private readonly SailVit.Kernels.Modules.Linear? _head;
    private readonly RotaryTable _rotary;

    /// <summary>Makes a model with random weights, drawn from torch's generator.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="dtype">Of the parameters: float32, bfloat16 or float16.</param>
    /// <param name="initialize">False: all but the embedding hold what the memory held, for a checkpoint that fills them all.</param>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public CausalLanguageModel(LanguageConfig config, ScalarType dtype = ScalarType.Float32, bool initialize = true) : base(nameof(CausalLanguageModel))
    {
        ArgumentNullException.ThrowIfNull(config);
        config.Validate();
        Config = config;
        _embedding = Embedding(config.VocabSize, config.HiddenSize, dtype: dtype);
        _layers = [.. Enumerable.Range(0, config.Layers).Select(i => new DecoderLayer(config, i, dtype, initialize))];
        _norm = new(config.HiddenSize, config.Eps, dtype: dtype);
        _head = config.TieEmbeddings ? null : new(config.HiddenSize, config.VocabSize, hasBias: false, dtype: dtype, initialize: initialize);
        _rotary = new(config.HeadDim, config.RopeTheta);
        register_module("model", new Container(("embed_tokens", _embedding), ("layers", ModuleList(_layers)), ("norm", _norm)));
        if (_head is not null)
        {
            register_module("lm_head", _head);
        }
        if (initialize)
        {
            Initialize();
        }
    }

    /// <summary>The architecture.</summary>
    public LanguageConfig Config { get; }

    /// <summary>Keeps one activation per block in training and computes the rest again in backward.</summary>
    public bool GradientCheckpointing { get; set; }

    /// <summary>Called in a backward pass with the index of each block when it has come by: the block's parameters and those used after it
    /// have their gradients.</summary>
    public Action<int>? BlockPassed { get; set; }

    /// <summary>[V, C]: the weight of the head, or the embedding that it is tied to.</summary>
    public Tensor Head => _head?.weight ?? _embedding.weight!;

    /// <summary>Looks tokens up.</summary>
    /// <param name="ids">int64 [T].</param>
    /// <returns>[T, C].</returns>
    public Tensor Embed(Tensor ids) => _embedding.call(ids);

    /// <summary>Runs all blocks and the final norm.</summary>
    /// <param name="embeddings">[T, C]: tokens, image embeddings in their places.</param>
    /// <param name="layout">Which of them belong together; each attends to itself and what is before it in its sequence.</param>
    /// <param name="cache">What came before; the new tokens are stored in it. Inference only.</param>
    /// <returns>[T, C], after the final norm.</returns>
    /// <exception cref="ArgumentException">Embeddings, layout and cache do not fit, or a position is beyond the model's.</exception>
    public Tensor Hidden(Tensor embeddings, SequenceLayout layout, KvCache? cache = null)
    {
        Check(embeddings, layout, cache);
        using var scope = NewDisposeScope();
        using var off = cache is null ? null : no_grad();
        var (cos, sin) = _rotary.For(LastPosition(layout) + 1);
        bool again = GradientCheckpointing && training && cache is null;
        var pass = new DecoderPass(Kept(tensor(layout.CuSeqlens)), layout.Positions, Kept(cos), Kept(sin), layout, cache);
        var x = embeddings.alias();
        for (int i = 0; i < _layers.Length; i++)
        {
            var layer = _layers[i];
            x = BackwardMark.Place(x, BlockPassed, i);
            var y = again ? F.checkpoint(h => layer.Forward(h, pass), x) : layer.Forward(x, pass);
            x.Dispose();
            x = y;
        }
        cache?.Advance(layout);
        return _norm.call(x).MoveToOuterDisposeScope();

        // A checkpointed layer runs again in backward, when this scope is gone.
        Tensor Kept(Tensor small) => again ? small.DetachFromDisposeScope() : small;
    }

    /// <summary>Scores of the next token.</summary>
    /// <param name="hidden">[T, C], from <see cref="Hidden"/>.</param>
    /// <returns>[T, V].</returns>
    public Tensor Logits(Tensor hidden) => _head is null ? F.linear(hidden, Head) : _head.call(hidden);

    private void Check(Tensor embeddings, SequenceLayout layout, KvCache? cache)
    {
        ArgumentNullException.ThrowIfNull(embeddings);
        ArgumentNullException.ThrowIfNull(layout);
        if (embeddings.dim() != 2 || embeddings.shape[1] != Config.HiddenSize || embeddings.shape[0] != layout.Tokens)
        {
            throw new ArgumentException($"embeddings has shape [{string.Join(", ", embeddings.shape)}]; the layout needs [{layout.Tokens}, {Config.HiddenSize}].", nameof(embeddings));
        }
        cache?.ThrowIfUnfit(layout);
    }

    private long LastPosition(SequenceLayout layout)
    {
        long last = layout.Tokens == 0 ? 0 : layout.Positions.max().item<long>();
        return last < Config.MaxPositions ? last
            : throw new ArgumentException($"a token has position {last}; this model has {Config.MaxPositions} positions. Shorten the sequence.", nameof(layout));
    }

    private void Initialize()
    {
        using var off = no_grad();
        foreach (var (name, parameter) in named_parameters())
        {
            if (name.EndsWith(".bias", StringComparison.Ordinal))
            {
                parameter.zero_();
            }
            else if (parameter.dim() == 2)
            {
                parameter.normal_(0, Config.InitializerRange);
            }
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _rotary.Dispose();
        }
        base.Dispose(disposing);
    }

    // Registered by name in the constructor.
    /// <inheritdoc/>
    protected override void RegisterComponents() { }
}
