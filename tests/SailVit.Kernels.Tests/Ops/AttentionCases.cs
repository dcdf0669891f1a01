using SailVit.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>One configuration of attention on [B, N, H, D], ours and the composition that its users write.</summary>
internal sealed record AttentionCase
{
    public long Batch { get; init; } = 2;
    public long Queries { get; init; } = 17;
    public long Keys { get; init; } = 17;
    public long Heads { get; init; } = 2;
    public long KvHeads { get; init; } = 2;
    public long Width { get; init; } = 16;
    public ScalarType DType { get; init; } = ScalarType.Float32;
    public bool Causal { get; init; }
    public double? Scale { get; init; }
    public int Seed { get; init; } = 1;

    /// <summary>Makes queries, keys, values: [B, N, H, D] in float32.</summary>
    public Func<long[], Generator, Tensor> Values { get; init; } = (shape, g) => randn(shape, generator: g);

    public Func<Tensor, Tensor> Layout { get; init; } = t => t;

    public Tensor? Mask { get; init; }

    /// <summary>Queries, keys, values and the mask.</summary>
    public Tensor?[] Inputs()
    {
        using var g = new Generator((ulong)Seed);
        return
        [
            Layout(Values([Batch, Queries, Heads, Width], g).to(DType)),
            Layout(Values([Batch, Keys, KvHeads, Width], g).to(DType)),
            Layout(Values([Batch, Keys, KvHeads, Width], g).to(DType)),
            Mask,
        ];
    }

    /// <summary>Output and log-sum-exp, all inputs differentiated.</summary>
    public OpCase WithLse() => new()
    {
        Name = $"attention {this}",
        Inputs = Inputs(),
        Ours = t => Both(functional.attention_with_lse(t[0], t[1], t[2], t[3], Causal, Scale)),
        Stock = Stock,
        OutputTolerance = new Dictionary<int, Tolerance> { [1] = new() { Absolute = 1e-4 } },
        Seed = Seed,
    };

    public OpCase OutputOnly() => WithLse() with
    {
        Ours = t => [functional.attention(t[0], t[1], t[2], t[3], Causal, Scale)],
        Stock = t => [Stock(t)[0]],
    };

    /// <summary>Through the signature of torch.nn.functional: heads before rows.</summary>
    public OpCase HeadsFirst() => OutputOnly() with
    {
        Ours = t => [functional.scaled_dot_product_attention(t[0].transpose(1, 2), t[1].transpose(1, 2), t[2].transpose(1, 2), t[3], is_casual: Causal, scale: Scale, enable_gqa: true).transpose(1, 2)],
    };

    /// <summary>One tensor [B, N, 3, H, D].</summary>
    public OpCase Packed()
    {
        using var g = new Generator((ulong)Seed);
        return OutputOnly() with
        {
            Inputs = [Layout(Values([Batch, Queries, 3, Heads, Width], g).to(DType)), Mask],
            Ours = t => [functional.attention_qkvpacked(t[0], t[1], Causal, Scale)],
            Stock = t => [Stock([t[0].select(2, 0), t[0].select(2, 1), t[0].select(2, 2), t[1]])[0]],
        };
    }

    /// <summary>Matrix products and softmax in the inputs' dtype; rows that may attend to nothing are 0.</summary>
    public Tensor[] Stock(Tensor[] t)
    {
        var q = t[0].transpose(1, 2);
        var k = Repeat(t[1], t[0]);
        var v = Repeat(t[2], t[0]);
        var scores = matmul(q, k.transpose(-1, -2)) * (Scale ?? 1 / Math.Sqrt(q.shape[^1]));
        if (t[3] is { } mask)
        {
            scores = mask.dtype == ScalarType.Bool ? scores.masked_fill(mask.logical_not(), double.NegativeInfinity) : scores + mask;
        }
        if (Causal)
        {
            scores = scores.masked_fill(ones(scores.shape[^2], scores.shape[^1], dtype: ScalarType.Bool).tril().logical_not(), double.NegativeInfinity);
        }
        var empty = scores.detach().eq(double.NegativeInfinity).all(-1, keepdim: true);
        var safe = scores.masked_fill(empty, 0);
        var output = matmul(softmax(safe, -1).to(v.dtype), v).masked_fill(empty, 0).transpose(1, 2);
        var lse = logsumexp(safe, -1).masked_fill(empty.squeeze(-1), double.NegativeInfinity);
        return [output, lse.dtype == ScalarType.Float64 ? lse : lse.to(ScalarType.Float32)];
    }

    private static Tensor Repeat(Tensor kv, Tensor q) => kv.repeat_interleave(q.shape[2] / kv.shape[2], 2).transpose(1, 2);

    internal static Tensor[] Both((Tensor, Tensor) pair) => [pair.Item1, pair.Item2];

    public override string ToString() =>
        $"B{Batch} Nq{Queries} Nk{Keys} H{Heads}/{KvHeads} D{Width} {DType}{(Causal ? " causal" : "")}{(Mask is { } m ? $" mask {Bits.Describe(m)}" : "")}";
}
