using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Norm;

/// <summary>What one call of a norm is asked for.</summary>
/// <param name="Trailing">How many last dimensions make a row.</param>
/// <param name="Eps">Added inside the root.</param>
/// <param name="InputType">The input's dtype.</param>
internal sealed record NormOptions(int Trailing, double Eps, ScalarType InputType);

/// <summary>Checks, allocation and kernel launches of LayerNorm and RMSNorm.</summary>
internal static unsafe class NormOp<N> where N : unmanaged, INormKind
{
    public static Tensor Run(Tensor input, long[] normalizedShape, Tensor? weight, Tensor? bias, double? eps)
    {
        var options = CheckArguments(input, normalizedShape, weight, bias, eps);
        return NormFunction<N>.NeedsGraph(input, weight, bias)
            ? NormFunction<N>.Run(options, input, weight, bias, null)[0]
            : Forward(options, input, null, weight, bias, training: false).Output;
    }

    public static (Tensor Output, Tensor Residual) RunAdd(Tensor input, Tensor residual, long[] normalizedShape, Tensor? weight, Tensor? bias, double? eps)
    {
        var options = CheckArguments(input, normalizedShape, weight, bias, eps);
        Check.Shape(Check.Float(residual), Check.Float(input).Sizes, nameof(residual));
        if (NormFunction<N>.NeedsGraph(input, residual, weight, bias))
        {
            var outputs = NormFunction<N>.Run(options, input, weight, bias, residual);
            return (outputs[0], outputs[1]);
        }
        var result = Forward(options, input, residual, weight, bias, training: false);
        return (result.Output, result.Sum!);
    }

    private static NormOptions CheckArguments(Tensor input, long[] normalizedShape, Tensor? weight, Tensor? bias, double? eps)
    {
        var x = Check.Float(input);
        ArgumentNullException.ThrowIfNull(normalizedShape, "normalized_shape");
        if (normalizedShape.Length == 0 || normalizedShape.Length > x.Rank || !x.Sizes[^normalizedShape.Length..].SequenceEqual(normalizedShape))
        {
            Check.Throw("normalized_shape", $"is {Check.Show(normalizedShape)}; it must be the last dimensions of the input, whose shape is {Check.Show(x.Sizes)}.");
        }
        if (weight is not null)
        {
            Check.Parameter(weight, x, normalizedShape, nameof(weight));
        }
        if (bias is not null)
        {
            Check.Parameter(bias, x, normalizedShape, nameof(bias));
        }
        double value = eps ?? Epsilon(x.DType);
        if (!(value >= 0) || double.IsInfinity(value))
        {
            Check.Throw(nameof(eps), $"is {value}; it must be a finite number that is not negative, such as 1e-5.");
        }
        return new(normalizedShape.Length, value, input.dtype);
    }

    // torch.finfo(dtype).eps
    private static double Epsilon(DType dtype) => dtype switch
    {
        DType.Float32 => 1.1920928955078125e-07,
        DType.Float16 => 0.0009765625,
        _ => 0.0078125,
    };

    /// <summary>Output, x + residual (null without a residual) and statistics (null unless training).</summary>
    public static (Tensor Output, Tensor? Sum, Tensor? Statistics) Forward(
        NormOptions options, Tensor input, Tensor? residual, Tensor? weight, Tensor? bias, bool training)
    {
        var view = new TensorView(input);
        using var x = Rows.Of(input, options.Trailing);
        using var r = Rows.Of(residual, options.Trailing);
        using var gamma = new FloatRow(weight, x.Width, absent: 1);
        using var beta = new FloatRow(bias, x.Width, absent: 0);
        var output = Allocate.Empty(view.Sizes, x.DType, view);
        var sum = residual is null ? null : Allocate.Empty(view.Sizes, r.DType, view);
        var statistics = training ? Allocate.Empty([x.Count, RowStatistics.Count<N>()], DType.Float32, view) : null;
        var args = new NormForwardArgs
        {
            X = x.Data,
            XStride = x.Stride,
            Residual = r.Data,
            ResidualStride = r.Stride,
            Gamma = gamma.Data,
            Beta = beta.Data,
            Y = new TensorView(output).Data,
            Sum = sum is null ? null : new TensorView(sum).Data,
            Statistics = statistics is null ? null : (float*)new TensorView(statistics).Data,
            Rows = x.Count,
            Width = x.Width,
            Eps = options.Eps,
        };
        NormLaunch<N>.Forward(args, x.DType, residual is null ? x.DType : r.DType);
        return (output, sum, statistics);
    }

    /// <summary>Gradients of input, residual, weight and bias; null where not wanted.</summary>
    public static Tensor?[] Backward(NormGradient g)
    {
        var view = new TensorView(g.Dy);
        using var x = Rows.Of(g.X, g.Options.Trailing);
        using var dy = Rows.Of(g.Dy, g.Options.Trailing);
        using var dSum = Rows.Of(g.DSum, g.Options.Trailing);

        using var gamma = new FloatRow(g.Weight, x.Width, absent: 1);

        var chunks = RowChunks.Of(x.Count);
        bool affine = g.WeightWanted || g.BiasWanted;
        long partialSize = NormBackward<F32, F32, N>.PartialSize(x.Width);
        using var lease = Workspace.Rent(affine ? chunks.Count * partialSize * sizeof(float) : 0);

        // One tensor serves both inputs when they have one type.
        bool shared = x.DType == dy.DType;
        var dx = g.InputWanted || (shared && g.ResidualWanted) ? Allocate.Empty(view.Sizes, dy.DType, view) : null;
        var dResidual = g.ResidualWanted && !shared ? Allocate.Empty(view.Sizes, x.DType, view) : null;
        var args = new NormBackwardArgs
        {
            X = x.Data,
            XStride = x.Stride,
            Dy = dy.Data,
            DyStride = dy.Stride,
            DSum = dSum.Data,
            DSumStride = dSum.Stride,
            Gamma = gamma.Data,
            Statistics = (float*)new TensorView(g.Statistics).Data,
            OfRoundedSum = g.OfSum && x.DType != DType.Float32,
            Eps = g.Options.Eps,
            Dx = dx is null ? null : new TensorView(dx).Data,
            DResidual = dResidual is null ? null : new TensorView(dResidual).Data,
            Partials = affine ? lease.Floats : null,
            Rows = x.Count,
            RowsPerChunk = chunks.RowsPerChunk,
            Width = x.Width,
        };
        // Of a rounded sum, scratch of one launch would be lent again while it is used.
        using var batch = args.OfRoundedSum ? null : Dispatcher.BeginBatch();
        NormLaunch<N>.Backward(args, chunks.Count, dy.DType, x.DType);
        return
        [
            g.InputWanted ? dx : null,
            g.WeightWanted ? PartialSums.ToTensor(lease.Floats, chunks.Count, partialSize, g.Weight!) : null,
            g.BiasWanted ? PartialSums.ToTensor(lease.Floats + x.Width, chunks.Count, partialSize, g.Bias!) : null,
            g.ResidualWanted ? dResidual ?? dx : null,
        ];
    }
}
