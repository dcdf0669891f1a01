using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>Attention with the state of torch.nn.MultiheadAttention: <c>in_proj_weight</c>, <c>in_proj_bias</c>,
/// <c>out_proj.weight</c>, <c>out_proj.bias</c>.</summary>
/// <remarks>Masks follow torch's convention for this module, which is the opposite of scaled_dot_product_attention's: true
/// in a boolean mask hides. There is no dropout of probabilities, and no [N, N] weights are returned: they never exist.</remarks>
public sealed class MultiheadAttention : Module<Tensor, Tensor, Tensor, Tensor>
{
    [ComponentName(Name = "in_proj_weight")]
    private Parameter _inWeight;

    [ComponentName(Name = "in_proj_bias")]
    private Parameter? _inBias;

    [ComponentName(Name = "out_proj")]
    private readonly Linear _outProj;

    private readonly long _width;
    private readonly long _heads;
    private readonly bool _batchFirst;

    /// <summary>Creates the layer with torch's initialisation: Xavier-uniform input projection, zero biases.</summary>
    /// <param name="embed_dim">C, a multiple of <paramref name="num_heads"/>.</param>
    /// <param name="num_heads">H.</param>
    /// <param name="bias">Whether the projections have biases.</param>
    /// <param name="batch_first">Whether tensors are [B, N, C]; otherwise [N, B, C], torch's default.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    /// <exception cref="ArgumentException">The heads do not divide the width.</exception>
    public MultiheadAttention(long embed_dim, long num_heads, bool bias = true, bool batch_first = false, Device? device = null, ScalarType? dtype = null)
        : base(nameof(MultiheadAttention))
    {
        if (num_heads <= 0 || embed_dim <= 0 || embed_dim % num_heads != 0)
        {
            Check.Throw(nameof(num_heads), $"is {num_heads}; it must be positive and divide embed_dim {embed_dim}.");
        }
        _width = embed_dim;
        _heads = num_heads;
        _batchFirst = batch_first;
        _inWeight = Parameter(empty([3 * embed_dim, embed_dim], dtype, device));
        init.xavier_uniform_(_inWeight);
        _inBias = bias ? Parameter(zeros([3 * embed_dim], dtype, device)) : null;
        _outProj = new(embed_dim, embed_dim, bias, device, dtype);
        if (_outProj.bias is { } outBias)
        {
            init.zeros_(outBias);
        }
        RegisterComponents();
    }

    /// <summary>[3·C, C]: queries, keys, values.</summary>
    public Parameter in_proj_weight
    {
        get => _inWeight;
        private set => Replace(ref _inWeight!, value, "in_proj_weight");
    }

    /// <summary>[3·C]; null if there is none.</summary>
    public Parameter? in_proj_bias
    {
        get => _inBias;
        private set => Replace(ref _inBias, value, "in_proj_bias");
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor query, Tensor key, Tensor value) => forward(query, key, value, null);

    /// <summary>Attention of queries over keys and values; pass one tensor three times for self-attention.</summary>
    /// <param name="query">[B, Nq, C], or [Nq, B, C] unless batch_first.</param>
    /// <param name="key">[B, Nk, C], or [Nk, B, C].</param>
    /// <param name="value">As the key.</param>
    /// <param name="key_padding_mask">[B, Nk], boolean, true hides the key; or additive.</param>
    /// <param name="attn_mask">[Nq, Nk] or [B·H, Nq, Nk], boolean, true hides; or additive.</param>
    /// <param name="is_causal">Query i attends to keys 0 … i.</param>
    /// <returns>As the query.</returns>
    public Tensor forward(Tensor query, Tensor key, Tensor value, Tensor? key_padding_mask, Tensor? attn_mask = null, bool is_causal = false)
    {
        CheckInput(query, nameof(query));
        CheckInput(key, nameof(key));
        CheckInput(value, nameof(value));
        CheckMasks(key_padding_mask, attn_mask, query, key);
        using var scope = NewDisposeScope();
        var mask = Mask(key_padding_mask, attn_mask, _batchFirst ? query.shape[0] : query.shape[1]);
        var output = ReferenceEquals(query, key) && ReferenceEquals(key, value)
            ? functional.attention_qkvpacked(Heads(Project(query, 0, 3), 3), mask, is_causal)
            : functional.attention(Part(query, 0), Part(key, 1), Part(value, 2), mask, is_causal);
        var tokens = output.flatten(2);
        return _outProj.forward(_batchFirst ? tokens : tokens.transpose(0, 1)).MoveToOuterDisposeScope();
    }

    private void CheckInput(Tensor tensor, string name)
    {
        var view = Check.Float(tensor, name);
        Check.Rank(view, 3, name, _batchFirst ? "[B, N, C]" : "[N, B, C]");
        if (view.Size(-1) != _width)
        {
            Check.Throw(name, $"has {view.Size(-1)} channels; it must have embed_dim, {_width}.");
        }
    }

    private void CheckMasks(Tensor? key_padding_mask, Tensor? attn_mask, Tensor query, Tensor key)
    {
        var (sequence, batch) = _batchFirst ? (1, 0) : (0, 1);
        if (key_padding_mask is not null)
        {
            Check.Shape(Check.View(key_padding_mask), [key.shape[batch], key.shape[sequence]], nameof(key_padding_mask));
        }
        if (attn_mask is not null && Check.View(attn_mask).Rank == 3)
        {
            Check.Shape(Check.View(attn_mask), [query.shape[batch] * _heads, query.shape[sequence], key.shape[sequence]], nameof(attn_mask));
        }
    }

    private Tensor Part(Tensor x, int part) => Heads(Project(x, part, 1), 1).select(2, 0);

    private Tensor Project(Tensor x, int first, int parts) =>
        functional.linear(x, _inWeight.narrow(0, first * _width, parts * _width), _inBias?.narrow(0, first * _width, parts * _width));

    // [B, N, parts·C] or [N, B, parts·C] → [B, N, parts, H, D], by strides.
    private Tensor Heads(Tensor x, int parts)
    {
        var heads = x.view(x.shape[0], x.shape[1], parts, _heads, _width / _heads);
        return _batchFirst ? heads : heads.transpose(0, 1);
    }

    // To [B, H, Nq, Nk] and the kernels' convention: true attends.
    private Tensor? Mask(Tensor? padding, Tensor? attention, long batch)
    {
        var keys = padding?.unsqueeze(1).unsqueeze(1);
        var pairs = attention is { } mask && mask.dim() == 3 ? mask.view(batch, _heads, mask.shape[1], mask.shape[2]) : attention;
        return (keys, pairs) switch
        {
            (null, null) => null,
            ({ } only, null) => Attends(only),
            (null, { } only) => Attends(only),
            ({ dtype: ScalarType.Bool } k, { dtype: ScalarType.Bool } p) => k.logical_or(p).logical_not(),
            ({ } k, { } p) => Additive(k, p).add(Additive(p, k), HeldScalar.One),
        };
    }

    private static Tensor Attends(Tensor mask) => mask.dtype == ScalarType.Bool ? mask.logical_not() : mask;

    private static Tensor Additive(Tensor mask, Tensor other)
    {
        using Scalar hidden = double.NegativeInfinity;
        return mask.dtype == ScalarType.Bool ? zeros(mask.shape, other.dtype, mask.device).masked_fill(mask, hidden) : mask;
    }

    // Module.to(dtype) sets the property of a parameter's name and leaves the rest to it.
    private void Replace(ref Parameter? field, Parameter? value, string name)
    {
        field?.Dispose();
        field = value;
        ConditionallyRegisterParameter(name, value);
    }
}
