using SailVit.Kernels.Ops.Checkpoint;
using SailVit.Kernels.Ops.Linear;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>A linear layer with an optional activation, by <see cref="functional.linear(Tensor, Tensor, Tensor?)"/>. State: <c>weight</c>, <c>bias</c>.</summary>
/// <remarks>Without a graph to record, the weight is packed once and kept until it changes, training resumes or the layer
/// is disposed: as much memory again as a float32 weight.</remarks>
public sealed class Linear : Module<Tensor, Tensor>, IResidualBranch
{
    [ComponentName(Name = "weight")]
    private Parameter _weight;

    [ComponentName(Name = "bias")]
    private Parameter? _bias;

    private readonly Activation _activation;
    private readonly PackedWeightCache _packed = new();

    /// <summary>Creates the layer with torch's initialisation, uniform in ±1/√inputs.</summary>
    /// <param name="inputSize">Columns of the input.</param>
    /// <param name="outputSize">Columns of the output.</param>
    /// <param name="hasBias">Whether there is a bias.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    /// <param name="activation">Applied to the sums before they are stored.</param>
    public Linear(long inputSize, long outputSize, bool hasBias = true, Device? device = null, ScalarType? dtype = null, Activation activation = Activation.None)
        : base(nameof(Linear))
    {
        ArgumentOutOfRangeException.ThrowIfNegative(inputSize);
        ArgumentOutOfRangeException.ThrowIfNegative(outputSize);
        _activation = activation;
        _weight = Parameter(empty([outputSize, inputSize], dtype, device));
        _bias = hasBias ? Parameter(empty([outputSize], dtype, device)) : null;
        double bound = inputSize > 0 ? 1 / Math.Sqrt(inputSize) : 0;
        init.uniform_(_weight, -bound, bound);
        if (_bias is not null)
        {
            init.uniform_(_bias, -bound, bound);
        }
        RegisterComponents();
    }

    /// <summary>[out, in].</summary>
    public Parameter weight
    {
        get => _weight;
        private set => Replace(ref _weight!, value, "weight");
    }

    /// <summary>[out]; null if there is none.</summary>
    public Parameter? bias
    {
        get => _bias;
        private set => Replace(ref _bias, value, "bias");
    }

    /// <summary>Bytes of the packed weight now; 0 in training and before the first call.</summary>
    public long PackedBytes => _packed.Bytes;

    /// <summary>F(x·wᵀ + b).</summary>
    public override Tensor forward(Tensor input) => forward(input, null);

    /// <summary>F(x·wᵀ + b) + residual, in one pass over the output.</summary>
    public Tensor forward(Tensor x, Tensor? residual)
    {
        if (CheckpointFunction.InForward || LinearFunction.NeedsGraph(x, _weight, _bias, residual))
        {
            _packed.Dispose();
            return functional.linear(x, _weight, _bias, _activation, residual);
        }
        using var packed = _packed.Rent(_weight);
        return functional.linear(x, packed.Weight, _bias, _activation, residual);
    }

    // Who takes the state_dict may write past libtorch's count of changes, as Module.load does.
    /// <inheritdoc/>
    public override Dictionary<string, Tensor> state_dict(Dictionary<string, Tensor>? destination = null, string? prefix = null)
    {
        _packed.Dispose();
        return base.state_dict(destination, prefix);
    }

    // Module.to(dtype) sets the property of a parameter's name and leaves the rest to it.
    private void Replace(ref Parameter? field, Parameter? value, string name)
    {
        field?.Dispose();
        field = value;
        ConditionallyRegisterParameter(name, value);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _packed.Dispose();
        }
        base.Dispose(disposing);
    }
}
