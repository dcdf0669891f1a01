using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>RMSNorm with a weight, by <see cref="functional.rms_norm"/>. State: <c>weight</c>.</summary>
public sealed class RMSNorm : Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")]
    private Parameter? _weight;

    private readonly long[] _normalizedShape;
    private readonly double? _eps;

    /// <summary>Creates the layer with weight 1.</summary>
    /// <param name="normalized_shape">The last dimensions of the input: those that one row consists of.</param>
    /// <param name="eps">Added to the mean square, inside the root. Null: the spacing of the input's dtype at 1.</param>
    /// <param name="elementwise_affine">Whether there is a weight.</param>
    /// <param name="device">Of the weight; null for the default.</param>
    /// <param name="dtype">Of the weight; null for the default.</param>
    public RMSNorm(long[] normalized_shape, double? eps = null, bool elementwise_affine = true, Device? device = null, ScalarType? dtype = null)
        : base(nameof(RMSNorm))
    {
        ArgumentNullException.ThrowIfNull(normalized_shape);
        _normalizedShape = [.. normalized_shape];
        _eps = eps;
        _weight = elementwise_affine ? Parameter(ones(_normalizedShape, dtype, device)) : null;
        RegisterComponents();
    }

    /// <summary>Creates the layer over the last dimension.</summary>
    public RMSNorm(long normalized_shape, double? eps = null, bool elementwise_affine = true, Device? device = null, ScalarType? dtype = null)
        : this([normalized_shape], eps, elementwise_affine, device, dtype)
    {
    }

    /// <summary>γ; null if not affine.</summary>
    public Parameter? weight
    {
        get => _weight;
        private set => Replace(ref _weight, value, "weight");
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input) => functional.rms_norm(input, _normalizedShape, _weight, _eps);

    /// <summary>The norm of input + residual, and that sum.</summary>
    public (Tensor output, Tensor residual) forward(Tensor input, Tensor residual) =>
        functional.add_rms_norm(input, residual, _normalizedShape, _weight, _eps);

    // Module.to(dtype) sets the property of a parameter's name and leaves the rest to it.
    private void Replace(ref Parameter? field, Parameter? value, string name)
    {
        field?.Dispose();
        field = value;
        ConditionallyRegisterParameter(name, value);
    }
}
