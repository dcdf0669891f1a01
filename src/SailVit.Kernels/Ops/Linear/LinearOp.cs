using System.Runtime.CompilerServices;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels.Ops.Linear;

/// <summary>Checks, and the choice between recording a graph and computing only.</summary>
internal static class LinearOp
{
    public static Tensor Run(Tensor input, Tensor weight, Tensor? bias, Activation activation, Tensor? residual)
    {
        var x = Check.Float(input);
        var w = Check.Float(weight);
        CheckWeight(w, x, nameof(weight));
        return Run(input, x, weight, w, null, bias, activation, residual);
    }

    public static Tensor Run(Tensor input, PackedWeight weight, Tensor? bias, Activation activation, Tensor? residual)
    {
        var x = Check.Float(input);
        CheckPacked(weight, pair: false);
        using var use = weight.BeginUse();
        weight.ThrowIfOutOfDate(nameof(weight));
        var w = new TensorView(weight.Weight);
        CheckWeight(w, x, nameof(weight));
        return Run(input, x, weight.Weight, w, weight, bias, activation, residual);
    }

    public static Tensor RunSwiGlu(Tensor input, Tensor gate_weight, Tensor up_weight, Tensor? gate_bias, Tensor? up_bias)
    {
        var x = Check.Float(input);
        var gate = Check.Float(gate_weight);
        var up = Check.Float(up_weight);
        CheckWeight(gate, x, nameof(gate_weight));
        CheckWeight(up, x, nameof(up_weight));
        Check.Shape(up, gate.Sizes, nameof(up_weight));
        return RunSwiGlu(input, x, gate_weight, up_weight, gate, null, gate_bias, up_bias);
    }

    public static Tensor RunSwiGlu(Tensor input, PackedWeight weights, Tensor? gate_bias, Tensor? up_bias)
    {
        var x = Check.Float(input);
        CheckPacked(weights, pair: true);
        using var use = weights.BeginUse();
        weights.ThrowIfOutOfDate(nameof(weights));
        var gate = new TensorView(weights.Weight);
        CheckWeight(gate, x, nameof(weights));
        return RunSwiGlu(input, x, weights.Weight, weights.UpWeight, gate, weights, gate_bias, up_bias);
    }

    private static Tensor Run(Tensor input, in TensorView x, Tensor weight, in TensorView w, PackedWeight? packed, Tensor? bias, Activation activation, Tensor? residual)
    {
        if (!Enum.IsDefined(activation))
        {
            Check.Throw(nameof(activation), $"is {(int)activation}; it must be None, Gelu, GeluTanh or Silu.");
        }
        CheckVector(bias, x, w.Size(0));
        CheckResidual(residual, x, w.Size(0));
        bool training = LinearFunction.NeedsGraph(input, weight, bias, residual);
        var options = new LinearOptions(LinearDispatch.For(x.DType, RowCount(x), packed is not null, training), activation, packed);
        Log("linear", options.Path, x, w);
        return training
            ? LinearFunction.Run(options, input, weight, bias, residual)[0]
            : LinearMath.Forward(options, input, weight, bias, residual, keep: false).Output;
    }

    private static Tensor RunSwiGlu(Tensor input, in TensorView x, Tensor gateWeight, Tensor upWeight, in TensorView w, PackedWeight? packed, Tensor? gate_bias, Tensor? up_bias)
    {
        CheckVector(gate_bias, x, w.Size(0));
        CheckVector(up_bias, x, w.Size(0));
        bool training = LinearSwiGluFunction.NeedsGraph(input, gateWeight, upWeight, gate_bias, up_bias);
        var options = new LinearOptions(LinearDispatch.For(x.DType, RowCount(x), packed is not null, training), Activation.None, packed);
        Log("linear_swiglu", options.Path, x, w);
        return training
            ? LinearSwiGluFunction.Run(options, input, gateWeight, upWeight, gate_bias, up_bias)[0]
            : LinearMath.SwiGlu(options, input, gateWeight, upWeight, gate_bias, up_bias, keep: false).Output;
    }

    private static long RowCount(in TensorView x) => x.Size(-1) == 0 ? 0 : x.Length / x.Size(-1);

    private static void CheckPacked(PackedWeight weight, bool pair, [CallerArgumentExpression(nameof(weight))] string name = "")
    {
        ArgumentNullException.ThrowIfNull(weight, name);
        if (weight.IsPair != pair)
        {
            Check.Throw(name, pair
                ? "was packed from one weight; linear_swiglu needs one packed from gate and up weights."
                : "was packed from gate and up weights; use linear_swiglu, or pack one weight.");
        }
    }

    private static void CheckWeight(in TensorView w, in TensorView x, string name)
    {
        Check.Rank(w, 2, name, "[out, in]");
        Check.MinRank(x, 1, "input", "[…, in]");
        if (w.Size(1) != x.Size(-1))
        {
            Check.Throw(name, $"has shape {Check.Show(w.Sizes)}; its last dimension must be that of the input, whose shape is {Check.Show(x.Sizes)}.");
        }
        Check.SameDType(w, x, name, "input");
    }

    private static void CheckVector(Tensor? bias, in TensorView x, long features, [CallerArgumentExpression(nameof(bias))] string name = "")
    {
        if (bias is not null)
        {
            var view = Check.Float(bias, name);
            Check.Shape(view, [features], name);
            Check.SameDType(view, x, name, "input");
        }
    }

    private static void CheckResidual(Tensor? residual, in TensorView x, long features)
    {
        if (residual is not null)
        {
            var view = Check.Float(residual);
            Check.Shape(view, [.. x.Sizes[..^1], features], nameof(residual));
            Check.SameDType(view, x, nameof(residual), "input");
        }
    }

    /// <summary>Says who makes a product, while somebody listens.</summary>
    public static void Log(string op, LinearPath path, in TensorView x, in TensorView w)
    {
        if (SailVitEventSource.Log.IsEnabled())
        {
            SailVitEventSource.Log.Dispatched(op, Dispatcher.UsesOpenCl ? "opencl" : path == LinearPath.Own ? "cpu" : "libtorch", $"{Check.Show(x.Sizes)} x {Check.Show(w.Sizes)} {x.DType}");
        }
    }
}
