namespace SailVit.Bench.Measuring;

/// <summary>Order statistics of samples.</summary>
/// <param name="Median">Half the samples are below.</param>
/// <param name="P10">A tenth of the samples are below.</param>
/// <param name="P90">A tenth of the samples are above.</param>
public readonly record struct Spread(double Median, double P10, double P90)
{
    /// <summary>Computes the spread; the order of <paramref name="samples"/> does not matter.</summary>
    public static Spread Of(IEnumerable<double> samples)
    {
        var sorted = samples.Order().ToArray();
        if (sorted.Length == 0)
        {
            throw new ArgumentException("No samples were given; at least one is needed.", nameof(samples));
        }
        return new(Quantile(sorted, 0.5), Quantile(sorted, 0.1), Quantile(sorted, 0.9));
    }

    // Linear between the neighbouring samples.
    private static double Quantile(double[] sorted, double q)
    {
        double at = q * (sorted.Length - 1);
        int below = (int)at;
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
    }
}
