namespace SailVit.Testing;

/// <summary>How much larger than the stock composition's error ours may be.</summary>
/// <remarks>
/// Largest error: at most <see cref="MaxFactor"/> × the comparator's + <see cref="Ulps"/> ulp of the largest reference value.
/// Mean error: at most <see cref="MeanFactor"/> × the comparator's; the mean catches a bias that the largest error hides.
/// </remarks>
public sealed record Tolerance
{
    /// <summary>The rule of the test protocol.</summary>
    public static Tolerance Default { get; } = new();

    /// <summary>Factor on the comparator's largest error.</summary>
    public double MaxFactor { get; init; } = 2;

    /// <summary>Allowance in units of the last place of the largest reference value.</summary>
    public double Ulps { get; init; } = 2;

    /// <summary>Factor on the comparator's mean error.</summary>
    public double MeanFactor { get; init; } = 1.25;

    /// <summary>Added to both bounds: for outputs with a documented absolute accuracy (log-sum-exp: 1e-4). Zero otherwise.</summary>
    public double Absolute { get; init; }

    internal double MaxBound(double comparator, double ulpOfMax) => MaxFactor * comparator + Ulps * ulpOfMax + Absolute;

    /// <remarks>
    /// Elements of a row share the row's rounding (its mean, its denominator), so a sample is a row. The ratio of two mean
    /// errors over n samples scatters by about 1.07/√n (normal errors); 2.5/√n keeps ten thousand random configurations
    /// free of false alarms, and the bound tightens to <see cref="MeanFactor"/> as samples grow. <see cref="RandomConfigs"/> holds
    /// the pooled mean of all its configurations to that factor itself.
    /// An eighth of an ulp covers comparators that are exact (copies, powers of two): a correctly rounded result is a quarter
    /// ulp off on average.
    /// </remarks>
    internal double MeanBound(double comparator, double ulpOfMean, double samples)
    {
        double scatter = 1 / Math.Sqrt(Math.Max(samples, 1));
        double ulps = 0.125 + (Ulps - 0.125) * scatter;
        return MeanFactor * (1 + 2.5 * scatter) * comparator + ulps * ulpOfMean + Absolute;
    }
}

/// <summary>A result breaks the test protocol.</summary>
public sealed class ProtocolException : Exception
{
    public ProtocolException() { }

    public ProtocolException(string message) : base(message) { }

    public ProtocolException(string message, Exception innerException) : base(message, innerException) { }
}
