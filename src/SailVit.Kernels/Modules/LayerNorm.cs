using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>LayerNorm with a weight and a bias, by <see cref="functional.layer_norm"/>. State: <c>weight</c>, <c>bias</c>.</summary>
public sealed class LayerNorm : Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")]
    private Parameter? _weight;

    [ComponentName(Name = "bias")]
    private Parameter? _bias;

    private readonly long[] _normalizedShape;
    private readonly double _eps;

    /// <summary>Creates the layer with weight 1 and bias 0.</summary>
    /// <param name="normalized_shape">The last dimensions of the input: those that one row consists of.</param>
    /// <param name="eps">Added to the variance, inside the root.</param>
    /// <param name="elementwise_affine">Whether there is a weight.</param>
    /// <param name="bias">Whether there is a bias beside the weight.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    public LayerNorm(long[] normalized_shape, double eps = 1e-5, bool elementwise_affine = true, bool bias = true, Device? device = null, ScalarType? dtype = null)
        : base(nameof(LayerNorm))
    {
        ArgumentNullException.ThrowIfNull(normalized_shape);
        _normalizedShape = [.. normalized_shape];
        _eps = eps;
        _weight = elementwise_affine ? Parameter(ones(_normalizedShape, dtype, device)) : null;
        _bias = elementwise_affine && bias ? Parameter(zeros(_normalizedShape, dtype, device)) : null;
        RegisterComponents();
    }

    /// <summary>Creates the layer over the last dimension.</summary>
    public LayerNorm(long normalized_shape, double eps = 1e-5, bool elementwise_affine = true, bool bias = true, Device? device = null, ScalarType? dtype = null)
        : this([normalized_shape], eps, elementwise_affine, bias, device, dtype)
    {
    }

    /// <summary>γ; null if not affine.</summary>
    public Parameter? weight
    {
        get => _weight;
        private set => Replace(ref _weight, value, "weight");
    }

    /// <summary>β; null if there is none.</summary>
    public Parameter? bias
    {
        get => _bias;
        private set => Replace(ref _bias, value, "bias");
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input) => functional.layer_norm(input, _normalizedShape, _weight, _bias, _eps);

    /// <summary>The norm of input + residual, and that sum.</summary>
    public (Tensor output, Tensor residual) forward(Tensor input, Tensor residual) =>
        functional.add_layer_norm(input, residual, _normalizedShape, _weight, _bias, _eps);

    // Module.to(dtype) sets the property of a parameter's name and leaves the rest to it.
    private void Replace(ref Parameter? field, Parameter? value, string name)
    {
        field?.Dispose();
        field = value;
        ConditionallyRegisterParameter(name, value);
    }
}
