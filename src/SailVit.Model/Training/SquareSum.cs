using System.Numerics;
using System.Runtime.InteropServices;
using SailVit.Model.Distributed;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Training;

/// <summary>Σ x² over tensors, in double: a float32 square overflows above 1.8e19 and vanishes below 1e-23.</summary>
/// <remarks>One pass over memory, without a temporary. Partial sums are of fixed parts of the tensors and are added in their order:
/// the bits do not depend on the number of threads.</remarks>
internal static class SquareSum
{
    private const int Part = 1 << 16;

    /// <param name="tensors">Float32.</param>
    public static unsafe double Of(IReadOnlyList<Tensor> tensors)
    {
        using var scope = NewDisposeScope();
        double elsewhere = 0;
        var parts = new List<(nint Start, int Length)>();
        foreach (var tensor in tensors)
        {
            if (tensor.device_type != DeviceType.CPU)
            {
                var wide = tensor.to(float64);
                elsewhere += wide.mul(wide).sum().item<double>();
                continue;
            }
            var rows = tensor.contiguous();
            float* start = (float*)ReplicaTensor.Data(rows, ScalarType.Float32);
            for (long at = 0; at < rows.numel(); at += Part)
            {
                parts.Add(((nint)(start + at), (int)Math.Min(Part, rows.numel() - at)));
            }
        }
        double[] sums = new double[parts.Count];
        Parallel.For(0, parts.Count, i => sums[i] = Sum(new ReadOnlySpan<float>((float*)parts[i].Start, parts[i].Length)));
        return elsewhere + sums.Sum();
    }

    private static double Sum(ReadOnlySpan<float> values)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        Vector<double> even = Vector<double>.Zero, odd = Vector<double>.Zero;
        foreach (var vector in vectors)
        {
            Vector.Widen(vector, out var low, out var high);
            even += low * low;
            odd += high * high;
        }
        double sum = Vector.Sum(even + odd);
        foreach (float value in values[(vectors.Length * Vector<float>.Count)..])
        {
            sum += (double)value * value;
        }
        return sum;
    }
}
