namespace SailVit.Model.Evaluation;

/// <summary>A share of right answers.</summary>
/// <param name="Right">Right answers.</param>
/// <param name="All">All answers.</param>
public readonly record struct Accuracy(int Right, int All)
{
    // 97.5 % point of the normal distribution.
    private const double Z = 1.959963984540054;

    /// <summary>The share.</summary>
    public double Value => All == 0 ? 0 : (double)Right / All;

    /// <summary>95 % confidence interval of the share. Source: Wilson 1927.</summary>
    public (double Low, double High) Interval
    {
        get
        {
            if (All == 0)
            {
                return (0, 1);
            }
            double n = All, p = Value, z2 = Z * Z, center = p + (z2 / (2 * n)), half = Z * Math.Sqrt((p * (1 - p) / n) + (z2 / (4 * n * n))), scale = 1 + (z2 / n);
            return (Math.Max(0, (center - half) / scale), Math.Min(1, (center + half) / scale));
        }
    }

    /// <inheritdoc/>
    public override string ToString() => $"{100 * Value:0.00} % ({100 * Interval.Low:0.0} – {100 * Interval.High:0.0})";
}
