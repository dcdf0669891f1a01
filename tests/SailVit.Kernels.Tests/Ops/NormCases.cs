using SailVit.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Both norms by one pair of delegates each: ours, and the stock composition in float32 arithmetic.</summary>
internal sealed record NormKindUnderTest(string Name, bool Centers)
{
    public static readonly NormKindUnderTest Layer = new("layer_norm", true);
    public static readonly NormKindUnderTest Rms = new("rms_norm", false);

    public const double Eps = 1e-5;

    /// <summary>Arguments of a case: x, weight, bias (LayerNorm only), residual; null where absent.</summary>
    public Tensor?[] Inputs(Tensor x, long[] shape, Generator g, bool affine = true, Tensor? residual = null) =>
    [
        x,
        affine ? (1 + 0.5 * randn(shape, generator: g)).to(x.dtype) : null,
        affine && Centers ? (0.5 * randn(shape, generator: g)).to(x.dtype) : null,
        residual,
    ];

    public Tensor[] Ours(Tensor[] t, long[] shape)
    {
        if (t[3] is null)
        {
            return [Centers ? functional.layer_norm(t[0], shape, t[1], t[2], Eps) : functional.rms_norm(t[0], shape, t[1], Eps)];
        }
        var (output, residual) = Centers
            ? functional.add_layer_norm(t[0], t[3], shape, t[1], t[2], Eps)
            : functional.add_rms_norm(t[0], t[3], shape, t[1], Eps);
        return [output, residual];
    }

    public Tensor[] Stock(Tensor[] t, long[] shape)
    {
        if (t[3] is null)
        {
            return [StockNorm(t[0], t, shape)];
        }
        var sum = t[0] + t[3];
        return [StockNorm(sum, t, shape).to(t[0].dtype), sum];
    }

    // RMSNorm as torch.nn.RMSNorm computes it: float32 (float64 in the reference) until the result is stored.
    private Tensor StockNorm(Tensor x, Tensor[] t, long[] shape)
    {
        if (Centers)
        {
            return nn.functional.layer_norm(x, shape, t[1]?.to(x.dtype), t[2]?.to(x.dtype), Eps);
        }
        var wide = x.dtype == float64 ? x : x.to(float32);
        long[] dims = [.. Enumerable.Range(1, shape.Length).Select(d => -(long)d)];
        var y = wide * rsqrt((wide * wide).mean(dims, keepdim: true) + Eps);
        return (t[1] is null ? y : y * t[1].to(wide.dtype)).to(x.dtype);
    }

    public OpCase Case(string name, Tensor?[] inputs, long[] shape, int seed = 1) => new()
    {
        Name = $"{Name}, {name}",
        Inputs = inputs,
        Ours = t => Ours(t, shape),
        Stock = t => Stock(t, shape),
        Seed = seed,
    };
}
