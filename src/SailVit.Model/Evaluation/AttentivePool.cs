using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Evaluation;

/// <summary>A learned query attends to the tokens: [B, N, C] → [B, C]. Keys and values are projected, the query is not.</summary>
/// <remarks>Source: AIM, arXiv 2401.08541, §4 (batch norm of the tokens without weights, one query).</remarks>
internal sealed class AttentivePool : Module<Tensor, Tensor>
{
    private readonly BatchNorm1d _norm;
    private readonly SailVit.Kernels.Modules.Linear _k, _v;
    private readonly Parameter _query;
    private readonly long _heads;

    public AttentivePool(long width, int heads) : base(nameof(AttentivePool))
    {
        if (heads < 1 || width % heads != 0)
        {
            throw new ArgumentException($"{heads} heads do not divide the features' width {width}; choose another number of heads.", nameof(heads));
        }
        _heads = heads;
        _norm = BatchNorm1d(width, eps: 1e-6, affine: false);
        _k = new(width, width, hasBias: false);
        _v = new(width, width, hasBias: false);
        using Scalar deviation = 0.02;
        using var normal = randn(1, 1, width);
        _query = Parameter(normal.mul(deviation));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var (b, n, c) = (input.shape[0], input.shape[1], input.shape[2]);
        var x = _norm.call(input.reshape(-1, c)).view(b, n, c);
        Tensor Heads(Tensor t, long rows) => t.view(b, rows, _heads, c / _heads);
        var pooled = Kernels.functional.attention(Heads(_query.expand(b, 1, c).contiguous(), 1), Heads(_k.call(x), n), Heads(_v.call(x), n));
        return pooled.reshape(b, c).MoveToOuterDisposeScope();
    }
}
