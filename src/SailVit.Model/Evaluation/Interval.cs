namespace SailVit.Model.Evaluation;

/// <summary>A mean over runs with another seed each, and what it may be off by.</summary>
/// <param name="Mean">The mean.</param>
/// <param name="HalfWidth">Half of Student's 95 % interval; null for a single run.</param>
public sealed record Interval(double Mean, double? HalfWidth)
{
    // 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; beyond, the normal distribution's.
    private static readonly double[] Quantiles =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];

    /// <summary>The interval of some values, which are taken to be normally distributed.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static Interval Of(IReadOnlyList<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Count == 0)
        {
            throw new ArgumentException("values is empty; there must be at least one.", nameof(values));
        }
        double mean = values.Average();
        int freedom = values.Count - 1;
        return new(mean, freedom == 0 ? null : (freedom <= Quantiles.Length ? Quantiles[freedom - 1] : 1.96)
            * Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / freedom / values.Count));
    }
}
