using SailVit.Kernels.Tensors;
using TorchSharp;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>Sequences of different lengths that lie behind each other as the tokens of one sample, [1, T, C].</summary>
/// <param name="CuSeqlens">[S + 1], int32 or int64: where each sequence starts, and the end of the last.</param>
/// <param name="Cos">[T, D/2], float32: turns queries and keys of each token; null: not turned.</param>
/// <param name="Sin">[T, D/2], float32.</param>
/// <param name="Positions">[T], int64: 0 … T − 1, the rows of the tables.</param>
public sealed record TokenPack(Tensor CuSeqlens, Tensor? Cos = null, Tensor? Sin = null, Tensor? Positions = null);

/// <summary>Self-attention of vision transformers. State: <c>qkv</c>, <c>proj</c>, and <c>q_norm</c>, <c>k_norm</c> where there is a QK-norm.</summary>
/// <remarks>The packed output of <c>qkv</c> goes through attention as it is, [B, N, 3, H, D], and its gradient comes back
/// packed. QK-norm is InternViT's: an RMSNorm over all heads together (arXiv 2312.14238).</remarks>
public sealed class Attention : Module<Tensor, Tensor>, IResidualBranch
{
    [ComponentName(Name = "qkv")]
    private readonly Linear _qkv;

    [ComponentName(Name = "proj")]
    private readonly Linear _proj;

    [ComponentName(Name = "q_norm")]
    private readonly RMSNorm? _qNorm;

    [ComponentName(Name = "k_norm")]
    private readonly RMSNorm? _kNorm;

    private readonly long _heads;

    /// <summary>Creates the layer with torch's initialisation.</summary>
    /// <param name="width">C, a multiple of <paramref name="heads"/>.</param>
    /// <param name="heads">H.</param>
    /// <param name="qkvBias">Whether <c>qkv</c> has a bias.</param>
    /// <param name="projBias">Whether <c>proj</c> has a bias.</param>
    /// <param name="qkNormEps">Eps of the QK-norm; null for none.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    /// <param name="initialize">False: the parameters hold what the memory held, for a checkpoint that fills them all.</param>
    /// <exception cref="ArgumentException">The heads do not divide the width.</exception>
    public Attention(long width, long heads, bool qkvBias = false, bool projBias = true, double? qkNormEps = null, Device? device = null, ScalarType? dtype = null, bool initialize = true)
        : base(nameof(Attention))
    {
        if (heads <= 0 || width <= 0 || width % heads != 0)
        {
            Check.Throw(nameof(heads), $"is {heads}; it must be positive and divide the width {width}.");
        }
        _heads = heads;
        _qkv = new(width, 3 * width, qkvBias, device, dtype, initialize: initialize);
        _proj = new(width, width, projBias, device, dtype, initialize: initialize);
        if (qkNormEps is { } eps)
        {
            _qNorm = new(width, eps, device: device, dtype: dtype);
            _kNorm = new(width, eps, device: device, dtype: dtype);
        }
        RegisterComponents();
    }

    /// <summary>Attention over the tokens of each sample.</summary>
    /// <param name="input">[B, N, C].</param>
    public override Tensor forward(Tensor input) => forward(input, null);

    /// <summary>Attention over the tokens of each sample, plus <paramref name="residual"/>, [B, N, C].</summary>
    public Tensor forward(Tensor x, Tensor? residual) => forward(x, residual, null);

    /// <summary>The same, within the sequences of a pack where there is one.</summary>
    public Tensor forward(Tensor x, Tensor? residual, TokenPack? pack)
    {
        ArgumentNullException.ThrowIfNull(x);
        var shape = x.shape;
        if (shape.Length != 3)
        {
            Check.Throw(nameof(x), $"has shape {Check.Show(shape)}; it must be [B, N, C].");
        }
        using var scope = NewDisposeScope();
        var qkv = _qkv.forward(x);
        // [B, N, 3·C] → [B, N, 3, H, D]
        var heads = qkv.view(shape[0], shape[1], 3, _heads, shape[2] / _heads);
        var output = pack is not null ? Packed(heads[0], pack)
            : _qNorm is null || _kNorm is null ? functional.attention_qkvpacked(heads)
            : functional.attention(Normed(heads.select(2, 0), _qNorm), Normed(heads.select(2, 1), _kNorm), heads.select(2, 2));
        return _proj.forward(output.view(shape), residual).MoveToOuterDisposeScope();
    }

    // [T, 3, H, D] → [T, H, D]
    private Tensor Packed(Tensor heads, TokenPack pack)
    {
        Tensor Turned(int part, RMSNorm? norm)
        {
            var x = heads.select(1, part);
            var normed = norm is null ? x : norm.call(x.flatten(1)).view(x.shape);
            return pack.Cos is null || pack.Sin is null || pack.Positions is null ? normed : functional.rotary_embedding(normed, pack.Cos, pack.Sin, pack.Positions);
        }
        return functional.attention_varlen(Turned(0, _qNorm), Turned(1, _kNorm), heads.select(1, 2), pack.CuSeqlens, pack.CuSeqlens);
    }

    // [B, N, H, D], rows of C = H·D channels a stride of 3·C apart.
    private static Tensor Normed(Tensor heads, RMSNorm norm) => norm.call(heads.flatten(2)).view(heads.shape);
}
