using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>The acceptance rule for every result: against float64, and no worse than stock TorchSharp in the same dtype.</summary>
public static class Protocol
{
    /// <summary>Checks <paramref name="ours"/> against <paramref name="reference"/>, allowing what <see cref="Tolerance"/> grants over
    /// the error of <paramref name="comparator"/>.</summary>
    /// <param name="name">What is checked; op, width and seed belong in it.</param>
    /// <param name="ours">Our result.</param>
    /// <param name="comparator">Stock TorchSharp in the same dtype, same shape.</param>
    /// <param name="reference">The same computation in float64.</param>
    /// <param name="tolerance">The rule; null for the default.</param>
    /// <exception cref="ProtocolException">The message holds both errors, shape and dtype.</exception>
    public static ErrorReport Check(string name, Tensor ours, Tensor comparator, Tensor reference, Tolerance? tolerance = null)
    {
        if (ours.dtype != comparator.dtype || !ours.shape.AsSpan().SequenceEqual(comparator.shape) || !ours.shape.AsSpan().SequenceEqual(reference.shape))
        {
            throw new ProtocolException($"{name}: ours is {Bits.Describe(ours)}, stock {Bits.Describe(comparator)}, reference {Bits.Describe(reference)}; shapes and dtype must agree.");
        }
        var rule = tolerance ?? Tolerance.Default;
        var report = Measure(ours, comparator, reference);
        var where = $"{name}, {Bits.Describe(ours)}";
        if (report.Classes is { } classes)
        {
            throw new ProtocolException($"{where}: {classes}");
        }
        double maxBound = rule.MaxBound(report.Stock.Max, Bits.Ulp(report.MaxReference, ours.dtype));
        double meanBound = rule.MeanBound(report.Stock.Mean, Bits.Ulp(report.MeanReference, ours.dtype), report.Samples);
        if (!(report.Ours.Max <= maxBound))
        {
            throw new ProtocolException($"{where}: largest error {report.Ours.Max:g4} at element {report.Ours.At} exceeds {maxBound:g4} (stock {report.Stock.Max:g4}, largest value {report.MaxReference:g4}).");
        }
        if (!(report.Ours.Mean <= meanBound))
        {
            throw new ProtocolException($"{where}: mean error {report.Ours.Mean:g4} exceeds {meanBound:g4} (stock {report.Stock.Mean:g4}, mean value {report.MeanReference:g4}).");
        }
        return report;
    }

    private static ErrorReport Measure(Tensor ours, Tensor comparator, Tensor reference)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        // The reference as the dtype can hold it decides what may overflow.
        var rounded = Doubles(reference.to(ours.dtype));
        var o = Doubles(ours);
        var c = Doubles(comparator);
        var r = Doubles(reference);
        var (mine, stock) = (new Accumulator(), new Accumulator());
        double max = 0, sum = 0;
        long finite = 0;
        for (int i = 0; i < o.Length; i++)
        {
            int kind = Kind(o[i]);
            // A comparator that overflows in between does not oblige ours to.
            if (kind != Kind(c[i]) && kind != Kind(rounded[i]))
            {
                return new() { Classes = $"element {i} is {o[i]}, but stock has {c[i]} and the reference {r[i]}; NaN and infinity must be where they belong." };
            }
            if (!double.IsFinite(r[i]))
            {
                continue;
            }
            max = Math.Max(max, Math.Abs(r[i]));
            sum += Math.Abs(r[i]);
            finite++;
            if (double.IsFinite(o[i]))
            {
                mine.Add(Math.Abs(o[i] - r[i]), i);
            }
            if (double.IsFinite(c[i]))
            {
                stock.Add(Math.Abs(c[i] - r[i]), i);
            }
        }
        long width = ours.dim() > 1 ? ours.shape[^1] : 1;
        return new()
        {
            Ours = mine.Result,
            Stock = stock.Result,
            MaxReference = max,
            MeanReference = finite == 0 ? 0 : sum / finite,
            Samples = Math.Min(width == 0 ? 0 : o.Length / width, Math.Min(mine.Samples, stock.Samples)),
        };
    }

    // The converted tensor lives as long as the caller's dispose scope.
    private static unsafe ReadOnlySpan<double> Doubles(Tensor t)
    {
        var converted = t.detach().to(float64).contiguous();
        return new(new TensorView(converted).Data, checked((int)converted.numel()));
    }

    private static int Kind(double value) => double.IsFinite(value) ? 0 : double.IsNaN(value) ? 1 : value > 0 ? 2 : 3;

    private struct Accumulator
    {
        private double _max, _sum, _squares;
        private long _at, _count;

        public void Add(double error, long index)
        {
            if (error > _max)
            {
                (_max, _at) = (error, index);
            }
            _sum += error;
            _squares += error * error;
            _count++;
        }

        /// <summary>How many samples the mean rests on: π/2 · (Σe)²/Σe² is the count for normal errors, and near one where a single
        /// cancellation outweighs all others.</summary>
        public readonly double Samples => _squares == 0 ? _count : Math.Min(_count, Math.PI / 2 * _sum * _sum / _squares);

        public readonly ErrorStatistics Result => new(_max, _count == 0 ? 0 : _sum / _count, _at);
    }
}

/// <summary>Absolute errors against float64 over finite elements.</summary>
/// <param name="Max">The largest.</param>
/// <param name="Mean">The mean.</param>
/// <param name="At">Row-major index of the largest.</param>
public readonly record struct ErrorStatistics(double Max, double Mean, long At);

/// <summary>Errors of ours and of stock TorchSharp.</summary>
public sealed record ErrorReport
{
    public ErrorStatistics Ours { get; init; }

    public ErrorStatistics Stock { get; init; }

    /// <summary>Largest magnitude of the reference.</summary>
    public double MaxReference { get; init; }

    /// <summary>Mean magnitude of the reference.</summary>
    public double MeanReference { get; init; }

    /// <summary>Independent samples behind the means: rows of the last dimension, fewer where few elements dominate.</summary>
    public double Samples { get; init; }

    /// <summary>How NaN or infinity is misplaced; null when it is not.</summary>
    public string? Classes { get; init; }
}
