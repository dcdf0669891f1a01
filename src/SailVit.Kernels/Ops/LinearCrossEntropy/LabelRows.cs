using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.LinearCrossEntropy;

/// <summary>Labels of all rows with the factor that each loss gets, w / Σ w; 0 where a row is ignored.</summary>
internal sealed class LabelRows
{
    private LabelRows(long[] labels, float[] factors)
    {
        Labels = labels;
        Factors = factors;
    }

    public long[] Labels { get; }

    public float[] Factors { get; }

    /// <summary>Checks and reads both tensors. Nothing is allocated on libtorch's side.</summary>
    public static unsafe LabelRows Read(Tensor labels, Tensor? weights, long rows, long classes, long ignore, double? normalizer)
    {
        var label = Check.View(labels);
        Check.Shape(label, [rows], nameof(labels));
        if (label.DType != DType.Int64)
        {
            Check.Throw(nameof(labels), $"has dtype {label.DType}; it must be Int64.");
        }
        if (normalizer is { } given && !(given > 0 && double.IsFinite(given)))
        {
            Check.Throw(nameof(normalizer), $"is {given}; it must be a positive number, or null for the sum of the weights.");
        }
        var values = ReadWeights(weights, rows);
        var result = new long[rows];
        double sum = 0;
        for (long row = 0; row < rows; row++)
        {
            long value = result[row] = ((long*)label.Data)[row * label.Stride(0)];
            if (value == ignore)
            {
                values[row] = 0;
            }
            else if (value < 0 || value >= classes)
            {
                Check.Throw(nameof(labels), $"is {value} at row {row}; it must be 0 to {classes - 1}, or {ignore} to be ignored.");
            }
            sum += values[row];
        }
        double scale = sum > 0 ? 1 / (normalizer ?? sum) : 0;
        for (long row = 0; row < rows; row++)
        {
            values[row] = (float)(values[row] * scale);
        }
        return new(result, values);
    }

    private static unsafe float[] ReadWeights(Tensor? weights, long rows)
    {
        var values = new float[rows];
        if (weights is null)
        {
            values.AsSpan().Fill(1);
            return values;
        }
        var view = Check.View(weights);
        Check.Shape(view, [rows], nameof(weights));
        if (view.DType != DType.Float32 || weights.requires_grad)
        {
            Check.Throw(nameof(weights), $"is {view}{(weights.requires_grad ? " and requires a gradient" : "")}; it must be Float32 without a gradient. Pass weights.detach().");
        }
        for (long row = 0; row < rows; row++)
        {
            float value = values[row] = ((float*)view.Data)[row * view.Stride(0)];
            if (!(value >= 0 && float.IsFinite(value)))
            {
                Check.Throw(nameof(weights), $"is {value} at row {row}; it must be a finite number that is not negative.");
            }
        }
        return values;
    }
}
