using SailVit.Kernels.Interop;
using SailVit.Kernels.Tensors;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels;

/// <summary>Settings of one AdamW step, named as in <c>torch.optim.AdamW</c>.</summary>
/// <param name="lr">Learning rate.</param>
/// <param name="beta1">Decay of the gradient's average.</param>
/// <param name="beta2">Decay of the squared gradient's average.</param>
/// <param name="eps">Added to the denominator.</param>
/// <param name="weight_decay">Decoupled: parameters shrink by lr · weight_decay.</param>
/// <param name="maximize">Ascends instead of descending.</param>
public readonly record struct AdamWOptions(double lr, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0, bool maximize = false);

public static partial class functional
{
    /// <summary>One AdamW step in place, one pass over each parameter (libtorch's <c>_fused_adamw_</c>).</summary>
    /// <remarks>
    /// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← (1 − lr·λ)p − lr/(1 − β₁ᵗ) · m / (√(v/(1 − β₂ᵗ)) + ε).
    /// Stock TorchSharp makes a dozen passes and keeps two temporaries of every parameter until the step ends.
    /// Source: Loshchilov and Hutter 2019, algorithm 2.
    /// </remarks>
    /// <param name="parameters">Updated; contiguous, one dtype and device.</param>
    /// <param name="gradients">One per parameter, same shape; a non-contiguous one is copied.</param>
    /// <param name="averages">m, updated.</param>
    /// <param name="squares">v, updated.</param>
    /// <param name="maxima">Largest v so far (AMSGrad), updated; null without AMSGrad.</param>
    /// <param name="step">Number of this step, the first is 1.</param>
    /// <param name="options">Settings.</param>
    /// <exception cref="ArgumentException">Lists differ in length, tensors in shape, dtype or layout, or an option is out of range.</exception>
    public static void adamw_(IReadOnlyList<Tensor> parameters, IReadOnlyList<Tensor> gradients, IReadOnlyList<Tensor> averages,
        IReadOnlyList<Tensor> squares, IReadOnlyList<Tensor>? maxima, long step, AdamWOptions options)
    {
        AdamWStep.Check(parameters, gradients, nameof(gradients), mustBeContiguous: false);
        AdamWStep.Check(parameters, averages, nameof(averages), mustBeContiguous: true);
        AdamWStep.Check(parameters, squares, nameof(squares), mustBeContiguous: true);
        AdamWStep.Check(parameters, maxima ?? parameters, nameof(maxima), mustBeContiguous: true);
        ArgumentOutOfRangeException.ThrowIfLessThan(step, 1);
        // One such step would write NaN into every parameter.
        if (!(options is { lr: >= 0, beta1: >= 0 and < 1, beta2: >= 0 and < 1, eps: >= 0, weight_decay: >= 0 } && double.IsFinite(options.lr + options.eps + options.weight_decay)))
        {
            throw new ArgumentException($"options are {options}; lr, eps and weight_decay must be finite and not negative, beta1 and beta2 from 0 to below 1.", nameof(options));
        }
        if (parameters.Count > 0)
        {
            using var scope = NewDisposeScope();
            using var noGrad = no_grad();
            AdamWStep.Run(parameters, [.. gradients.Select(g => g.contiguous())], averages, squares, maxima, step, options);
        }
    }
}

/// <summary>The call into libtorch's dispatcher.</summary>
internal static unsafe class AdamWStep
{
    private const string Operator = "aten::_fused_adamw_";

    public static void Check(IReadOnlyList<Tensor> parameters, IReadOnlyList<Tensor> others, string name, bool mustBeContiguous)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(others, name);
        if (parameters.Count != others.Count)
        {
            throw new ArgumentException($"{name} has {others.Count} tensors; it must have one for each of the {parameters.Count} parameters.", name);
        }
        for (int i = 0; i < parameters.Count; i++)
        {
            var parameter = Tensors.Check.View(parameters[i], $"parameters[{i}]");
            var other = Tensors.Check.View(others[i], $"{name}[{i}]");
            Tensors.Check.Shape(other, parameter.Sizes, $"{name}[{i}]");
            Tensors.Check.SameDType(other, parameter, $"{name}[{i}]", $"parameters[{i}]");
            if (!parameter.IsContiguous || (mustBeContiguous && !other.IsContiguous))
            {
                Tensors.Check.Throw(parameter.IsContiguous ? $"{name}[{i}]" : $"parameters[{i}]", "is updated in place and must be contiguous. Make it so with .contiguous() before training.");
            }
        }
    }

    public static void Run(IReadOnlyList<Tensor> parameters, IReadOnlyList<Tensor> gradients, IReadOnlyList<Tensor> averages,
        IReadOnlyList<Tensor> squares, IReadOnlyList<Tensor>? maxima, long step, AdamWOptions options)
    {
        using var count = tensor((float)step, device: parameters[0].device);
        // (Tensor[] self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, *, float lr, beta1, beta2, weight_decay, eps,
        //  bool amsgrad, maximize, Tensor? grad_scale, found_inf)
        ulong* stack = stackalloc ulong[15];
        stack[0] = List(parameters);
        stack[1] = List(gradients);
        stack[2] = List(averages);
        stack[3] = List(squares);
        stack[4] = List(maxima ?? []);
        stack[5] = List([.. Enumerable.Repeat(count, parameters.Count)]);
        stack[6] = BitConverter.DoubleToUInt64Bits(options.lr);
        stack[7] = BitConverter.DoubleToUInt64Bits(options.beta1);
        stack[8] = BitConverter.DoubleToUInt64Bits(options.beta2);
        stack[9] = BitConverter.DoubleToUInt64Bits(options.weight_decay);
        stack[10] = BitConverter.DoubleToUInt64Bits(options.eps);
        stack[11] = maxima is null ? 0u : 1u;
        stack[12] = options.maximize ? 1u : 0u;
        stack[13] = stack[14] = 0;
        fixed (byte* name = "aten::_fused_adamw_\0"u8, overload = "\0"u8)
        {
            if (Shim.torch_call_dispatcher(name, overload, stack, Shim.AbiVersion) != 0)
            {
                throw new InvalidOperationException($"libtorch's _fused_adamw_ failed for {parameters.Count} parameters of {parameters[0].dtype} on {parameters[0].device}; its message is on standard error. Use torch.optim.AdamW instead.");
            }
        }
        // The operator itself leaves the versions as they are: weights packed before would stay in use.
        foreach (var parameter in parameters)
        {
            using var flat = parameter.view(-1);
            TensorVersion.Increment(flat);
        }
    }

    // The dispatcher takes over the list and the handles in it.
    private static ulong List(IReadOnlyList<Tensor> tensors)
    {
        nint list;
        int status = Shim.torch_new_list_reserve_size((nuint)tensors.Count, &list);
        foreach (var tensor in tensors)
        {
            nint handle;
            status |= Shim.aoti_torch_new_tensor_handle(tensor.Handle, &handle);
            status |= Shim.torch_list_push_back(list, (ulong)handle);
        }
        if (status != 0)
        {
            throw new InsufficientMemoryException($"libtorch could not make a list of {tensors.Count} tensors.");
        }
        return (ulong)list;
    }
}
