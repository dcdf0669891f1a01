using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>Our float32 gradient against central differences: independent of anybody's derivation. For small shapes.</summary>
public static class GradCheck
{
    /// <summary>Checks every element of every input's gradient of p = Σ w·output with seeded weights w.</summary>
    /// <param name="name">For the message.</param>
    /// <param name="ours">Our op, on float32.</param>
    /// <param name="formula">The op's definition, differenced in float64; plain torch ops.</param>
    /// <param name="inputs">float32; all are differentiated. At most a few hundred elements.</param>
    /// <param name="relative">Allowed error relative to the largest element of each gradient.</param>
    /// <param name="seed">Seeds the weights.</param>
    public static void Run(string name, Func<Tensor[], Tensor> ours, Func<Tensor[], Tensor> formula, Tensor[] inputs, double relative = 2e-5, int seed = 1)
    {
        using var scope = NewDisposeScope();
        var leaves = Array.ConvertAll(inputs, t => t.detach().requires_grad_());
        var output = ours(leaves);
        using var generator = new Generator((ulong)seed);
        var weights = randn(output.shape, generator: generator);
        BackwardException.Run(() => output.backward([weights]));

        using var noGrad = no_grad();
        var points = Array.ConvertAll(inputs, t => t.detach().to(float64).contiguous().clone());
        var exact = weights.to(float64);
        for (int i = 0; i < inputs.Length; i++)
        {
            var gradient = leaves[i].grad ?? throw new ProtocolException($"{name}: input {i} has no gradient, seed {seed}.");
            var differences = Differences(points, i, () => (formula(points) * exact).sum().item<double>());
            double scale = Math.Max(differences.abs().max().item<double>(), 1e-3);
            double error = (gradient.to(float64) - differences).abs().max().item<double>();
            if (!(error <= relative * scale))
            {
                throw new ProtocolException($"{name}: gradient of input {i} [{string.Join(", ", inputs[i].shape)}] is {error:g4} away from central differences (largest {scale:g4}, allowed {relative * scale:g4}), seed {seed}.");
            }
        }
    }

    private static Tensor Differences(Tensor[] points, int input, Func<double> projection)
    {
        var flat = points[input].view(-1);
        var result = empty_like(points[input]);
        var into = result.view(-1);
        for (long e = 0; e < flat.numel(); e++)
        {
            using var inner = NewDisposeScope();
            double x = flat[e].item<double>();
            // Error of a central difference is h²·f''' + 1e-16·f/h: least near the cube root of the precision.
            double h = 1e-5 * Math.Max(1, Math.Abs(x));
            flat[e] = x + h;
            double above = projection();
            flat[e] = x - h;
            double below = projection();
            flat[e] = x;
            into[e] = (above - below) / (2 * h);
        }
        return result;
    }
}
