using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>Mean errors of many checks of one op, each result for itself: what scatters in a single small tensor shows here.</summary>
internal sealed class PooledErrors : IDisposable
{
    // Below this the pool itself scatters too much.
    private const int EnoughChecks = 40;

    [ThreadStatic]
    private static PooledErrors? _current;

    private readonly Dictionary<(string Result, ScalarType DType), (double Ours, double Stock, int Count)> _sums = [];

    public PooledErrors() => _current = this;

    /// <summary>Adds a check to the pool that is open on this thread, if there is one.</summary>
    public static void Add(string result, ScalarType dtype, ErrorReport report)
    {
        if (_current is { } pool && report.MeanReference > 0)
        {
            // In units in the last place, so that configurations count alike; capped, so that one cancellation does not outweigh the rest.
            double ulp = Bits.Ulp(report.MeanReference, dtype);
            double unit = Math.Max(ulp, report.Stock.Mean);
            var sum = pool._sums.GetValueOrDefault((result, dtype));
            pool._sums[(result, dtype)] = (sum.Ours + report.Ours.Mean / unit, sum.Stock + report.Stock.Mean / unit, sum.Count + 1);
        }
    }

    /// <exception cref="ProtocolException">A result's mean error is above the factor of the protocol over all checks.</exception>
    public void Check(string name)
    {
        foreach (var ((result, dtype), sum) in _sums.Where(s => s.Value.Count >= EnoughChecks))
        {
            var (ours, stock) = (sum.Ours / sum.Count, sum.Stock / sum.Count);
            double bound = Tolerance.Default.MeanFactor * stock + 0.125;
            if (ours > bound)
            {
                throw new ProtocolException($"{name}, {result}, {dtype}: over {sum.Count} checks the mean error is {ours / stock:f2} × that of stock; {Tolerance.Default.MeanFactor} × is allowed.");
            }
        }
    }

    public void Dispose() => _current = null;
}
