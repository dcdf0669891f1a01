using TorchSharp;
using static TorchSharp.torch;
using F = SailVit.Kernels.functional;
using stock = TorchSharp.torch.nn.functional;

namespace SailVit.Cli.Doctor;

/// <summary>One op family on a small problem: ours, and the same in stock ops.</summary>
/// <param name="Op">Name in <c>functional</c>.</param>
/// <param name="Shapes">Shapes of the inputs, all differentiable.</param>
/// <param name="Ours">Our op.</param>
/// <param name="Stock">Stock composition, for any dtype.</param>
internal sealed record OpSelfTest(string Op, long[][] Shapes, Func<Tensor[], Tensor> Ours, Func<Tensor[], Tensor> Stock)
{
    private const double Eps = 1e-5;

    // Widths that leave a remainder at every vector width.
    public static IReadOnlyList<OpSelfTest> All { get; } =
    [
        new("layer_norm", [[5, 67], [67], [67]], x => F.layer_norm(x[0], [67], x[1], x[2], Eps), x => stock.layer_norm(x[0], [67], x[1], x[2], Eps)),
        new("rms_norm", [[5, 67], [67]], x => F.rms_norm(x[0], [67], x[1], Eps), x => RmsNorm(x[0], x[1])),
        new("add_layer_norm", [[5, 67], [5, 67], [67], [67]], x => Both(F.add_layer_norm(x[0], x[1], [67], x[2], x[3], Eps)), x => Both((stock.layer_norm(x[0] + x[1], [67], x[2], x[3], Eps), x[0] + x[1]))),
        new("add_rms_norm", [[5, 67], [5, 67], [67]], x => Both(F.add_rms_norm(x[0], x[1], [67], x[2], Eps)), x => Both((RmsNorm(x[0] + x[1], x[2]), x[0] + x[1]))),
        new("scaled_dot_product_attention", [[1, 2, 19, 24], [1, 2, 19, 24], [1, 2, 19, 24]], x => F.scaled_dot_product_attention(x[0], x[1], x[2]), x => Attend(x[0], x[1], x[2])),
        new("attention", [[1, 19, 2, 24], [1, 19, 2, 24], [1, 19, 2, 24]], x => F.attention(x[0], x[1], x[2]), x => Attend(HeadsFirst(x[0]), HeadsFirst(x[1]), HeadsFirst(x[2])).transpose(1, 2)),
        new("attention_qkvpacked", [[1, 19, 3, 2, 24]], x => F.attention_qkvpacked(x[0]), x => Unpacked(x[0])),
        new("attention_varlen", [[19, 2, 24], [19, 2, 24], [19, 2, 24]], x => F.attention_varlen(x[0], x[1], x[2], Offsets, Offsets), x => Varlen(x[0], x[1], x[2])),
        new("linear", [[19, 67], [35, 67], [35]], x => F.linear(x[0], x[1], x[2]), x => stock.linear(x[0], x[1], x[2])),
        new("linear_swiglu", [[19, 67], [35, 67], [35, 67]], x => F.linear_swiglu(x[0], x[1], x[2]), x => stock.silu(stock.linear(x[0], x[1])) * stock.linear(x[0], x[2])),
        new("linear_cross_entropy", [[19, 67], [35, 67]], x => F.linear_cross_entropy(x[0], x[1], Labels), x => CrossEntropy(stock.linear(x[0], x[1]))),
        new("layer_scale_add", [[5, 67], [5, 67], [67]], x => F.layer_scale_add(x[0], x[1], x[2]), x => x[0] + x[2] * x[1]),
        new("patch_embed", [[1, 3, 28, 42], [35, 3, 14, 14], [35]], x => F.patch_embed(x[0], x[1], x[2]), x => stock.linear(Patches(x[0]), x[1].flatten(1), x[2])),
        new("gelu", [[5, 67]], x => F.gelu(x[0]), x => stock.gelu(x[0])),
        new("silu", [[5, 67]], x => F.silu(x[0]), x => stock.silu(x[0])),
        new("rotary_embedding", [[5, 2, 34]], x => F.rotary_embedding(x[0], Angles.cos(), Angles.sin(), arange(5, dtype: int64)), x => Turned(x[0], Angles)),
        new("swiglu", [[5, 67], [5, 67]], x => F.swiglu(x[0], x[1]), x => stock.silu(x[0]) * x[1]),
    ];

    // Two sequences laid end to end.
    private static Tensor Offsets => tensor([0, 7, 19], dtype: int32);

    private static Tensor Labels => arange(19, dtype: int64);

    private static Tensor CrossEntropy(Tensor logits) => stock.cross_entropy(logits.dtype == float64 ? logits : logits.to(float32), Labels);

    // Five positions, 17 pairs of channels.
    private static Tensor Angles => outer(arange(5, dtype: float32), arange(17, dtype: float32) * 0.1);

    private static Tensor Turned(Tensor x, Tensor angles)
    {
        var (cos, sin) = (angles.cos().unsqueeze(1).to(x.dtype), angles.sin().unsqueeze(1).to(x.dtype));
        var halves = x.chunk(2, -1);
        return cat([(halves[0] * cos) - (halves[1] * sin), (halves[1] * cos) + (halves[0] * sin)], -1);
    }

    private static Tensor Attend(Tensor q, Tensor k, Tensor v) => stock.softmax(q.matmul(k.transpose(-2, -1)) / Math.Sqrt(q.shape[^1]), -1).matmul(v);

    // [B, C, H, W] → [B, N, C·14·14]
    private static Tensor Patches(Tensor pixels) => pixels.unfold(2, 14, 14).unfold(3, 14, 14).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2);

    private static Tensor HeadsFirst(Tensor x) => x.transpose(1, 2);

    private static Tensor Unpacked(Tensor qkv)
    {
        var parts = qkv.permute(2, 0, 3, 1, 4).unbind(0); // [B, N, 3, H, D] → 3 × [B, H, N, D]
        return Attend(parts[0], parts[1], parts[2]).transpose(1, 2);
    }

    private static Tensor Varlen(Tensor q, Tensor k, Tensor v)
    {
        Tensor Part(Tensor x, long from, long to) => x.slice(0, from, to, 1).transpose(0, 1); // [T, H, D] → [H, N, D]
        return cat([Attend(Part(q, 0, 7), Part(k, 0, 7), Part(v, 0, 7)), Attend(Part(q, 7, 19), Part(k, 7, 19), Part(v, 7, 19))], 1).transpose(0, 1);
    }

    private static Tensor RmsNorm(Tensor x, Tensor weight) => x * (x.square().mean([-1], keepdim: true) + Eps).rsqrt() * weight;

    private static Tensor Both((Tensor Output, Tensor Residual) pair) => cat([pair.Output, pair.Residual], 1);

    /// <summary>Forward and backward in one dtype, compared with stock ops in float64.</summary>
    /// <returns>Relative errors, ours and stock's, the worst of output and gradients.</returns>
    public (double Ours, double Stock) Run(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        var generator = new Generator(7);
        var inputs = Array.ConvertAll(Shapes, shape => randn(shape, dtype: float32, generator: generator).to(dtype));
        var reference = Pass(Stock, float64, inputs);
        var ours = Pass(Ours, dtype, inputs);
        var baseline = Pass(Stock, dtype, inputs);
        return (Worst(ours, reference), Worst(baseline, reference));
    }

    /// <summary>The rule: at most twice stock's error, plus the rounding of the result.</summary>
    public static bool Passes((double Ours, double Stock) error, ScalarType dtype)
    {
        double rounding = dtype switch { ScalarType.Float32 => 1.0 / (1 << 24), ScalarType.Float16 => 1.0 / (1 << 11), _ => 1.0 / (1 << 8) };
        return error.Ours <= 2 * error.Stock + 4 * rounding;
    }

    private static Tensor[] Pass(Func<Tensor[], Tensor> op, ScalarType dtype, Tensor[] inputs)
    {
        var leaves = Array.ConvertAll(inputs, t => t.to(dtype).detach().clone().requires_grad_());
        var output = op(leaves);
        // Distinct weights per element, so that a misplaced gradient shows.
        var weight = (arange(output.numel(), dtype: float32) * 0.37).cos().reshape(output.shape).to(output.dtype);
        Kernels.Interop.BackwardException.Run(() => output.backward([weight]));
        return [output.detach(), .. leaves.Select(l => l.grad!)];
    }

    private static double Worst(Tensor[] results, Tensor[] reference) => results.Zip(reference)
        .Max(p => ((p.First.to(float64) - p.Second).norm() / (p.Second.norm() + 1e-30)).item<double>());
}
