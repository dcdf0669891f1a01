using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Measuring;

/// <summary>‖a − b‖ / ‖b‖.</summary>
public static class RelativeError
{
    /// <summary>The worst over all results (outputs and gradients).</summary>
    public static double Worst(Tensor[] results, Tensor[] reference)
    {
        ArgumentNullException.ThrowIfNull(results);
        ArgumentNullException.ThrowIfNull(reference);
        if (results.Length != reference.Length)
        {
            throw new InvalidOperationException($"There are {results.Length} results and {reference.Length} in the reference; both sides of a benchmark must return the same outputs and gradients.");
        }
        double worst = 0;
        for (int i = 0; i < results.Length; i++)
        {
            double error = Of(results[i], reference[i]);
            // NaN must win: it is the worst error.
            worst = error > worst || double.IsNaN(error) ? error : worst;
        }
        return worst;
    }

    /// <summary>Relative to the norm of <paramref name="reference"/>; absolute where that is zero.</summary>
    public static double Of(Tensor result, Tensor reference)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var exact = reference.detach().to(float64);
        double distance = (result.detach().to(float64) - exact).norm().item<double>();
        double norm = exact.norm().item<double>();
        return norm == 0 ? distance : distance / norm;
    }
}
