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
        new("gelu", [[5, 67]], x => F.gelu(x[0]), x => stock.gelu(x[0])),
        new("silu", [[5, 67]], x => F.silu(x[0]), x => stock.silu(x[0])),
        new("swiglu", [[5, 67], [5, 67]], x => F.swiglu(x[0], x[1]), x => stock.silu(x[0]) * x[1]),
    ];

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
        var weight = (arange(output.numel(), dtype: float32) * 0.37).cos().reshape(output.shape).to(dtype);
        Kernels.Interop.BackwardException.Run(() => output.backward([weight]));
        return [output.detach(), .. leaves.Select(l => l.grad!)];
    }

    private static double Worst(Tensor[] results, Tensor[] reference) => results.Zip(reference)
        .Max(p => ((p.First.to(float64) - p.Second).norm() / (p.Second.norm() + 1e-30)).item<double>());
}
