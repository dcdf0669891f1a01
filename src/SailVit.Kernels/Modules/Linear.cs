using SailVit.Kernels.Interop;
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

    [ComponentName(Name = "lora_A")]
    private Parameter? _loraA;

    [ComponentName(Name = "lora_B")]
    private Parameter? _loraB;

    private double _loraScale;

    private readonly Activation _activation;
    private readonly PackedWeightCache _packed = new();

    /// <summary>Creates the layer with torch's initialisation, uniform in ±1/√inputs.</summary>
    /// <param name="inputSize">Columns of the input.</param>
    /// <param name="outputSize">Columns of the output.</param>
    /// <param name="hasBias">Whether there is a bias.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    /// <param name="activation">Applied to the sums before they are stored.</param>
    /// <param name="initialize">False: the parameters hold what the memory held, for a checkpoint that fills them all.</param>
    public Linear(long inputSize, long outputSize, bool hasBias = true, Device? device = null, ScalarType? dtype = null, Activation activation = Activation.None, bool initialize = true)
        : base(nameof(Linear))
    {
        ArgumentOutOfRangeException.ThrowIfNegative(inputSize);
        ArgumentOutOfRangeException.ThrowIfNegative(outputSize);
        _activation = activation;
        _weight = Parameter(empty([outputSize, inputSize], dtype, device));
        _bias = hasBias ? Parameter(empty([outputSize], dtype, device)) : null;
        double bound = inputSize > 0 ? 1 / Math.Sqrt(inputSize) : 0;
        if (initialize)
        {
            init.uniform_(_weight, -bound, bound);
            _ = _bias is null ? null : init.uniform_(_bias, -bound, bound);
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

    /// <summary>[r, in]; null without an adapter.</summary>
    public Parameter? lora_A
    {
        get => _loraA;
        private set => Replace(ref _loraA, value, "lora_A");
    }

    /// <summary>[out, r]; null without an adapter.</summary>
    public Parameter? lora_B
    {
        get => _loraB;
        private set => Replace(ref _loraB, value, "lora_B");
    }

    /// <summary>What the adapter's product is multiplied by, alpha / r; 0 without one.</summary>
    public double AdapterScale => _loraA is null ? 0 : _loraScale;

    /// <summary>Adds a low-rank adapter beside the weight, F(x·wᵀ + b + alpha/rank·(x·aᵀ)·bᵀ), and freezes weight and bias.</summary>
    /// <param name="rank">r.</param>
    /// <param name="alpha">Scale of the adapter times r.</param>
    /// <remarks>b begins as 0: at first the layer computes what it did. Source: Hu et al. 2021 (LoRA), §4.1.</remarks>
    /// <exception cref="InvalidOperationException">There is one already.</exception>
    public void AddAdapter(int rank, double alpha)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rank, 1);
        if (!double.IsFinite(alpha))
        {
            throw new ArgumentException($"alpha is {alpha}; it must be finite.", nameof(alpha));
        }
        if (_loraA is not null)
        {
            throw new InvalidOperationException("the layer has an adapter already; merge it first.");
        }
        long outputs = _weight.shape[0], inputs = _weight.shape[1];
        double bound = 1 / Math.Sqrt(Math.Max(inputs, 1));
        _loraScale = alpha / rank;
        // They are the layer's, whichever scope the caller has open.
        lora_A = (Parameter)Parameter(empty([rank, inputs], _weight.dtype, _weight.device).uniform_(-bound, bound)).DetachFromDisposeScope();
        lora_B = (Parameter)Parameter(zeros([outputs, rank], _weight.dtype, _weight.device)).DetachFromDisposeScope();
        _weight.requires_grad_(false);
        _bias?.requires_grad_(false);
    }

    /// <summary>Adds the adapter to the weight and removes it; nothing without one. Weight and bias stay frozen.</summary>
    public void MergeAdapter()
    {
        if (_loraA is null || _loraB is null)
        {
            return;
        }
        using (var scope = NewDisposeScope())
        {
            using var off = no_grad();
            // In float32: the product of 16-bit factors would be rounded once more.
            using Scalar scale = _loraScale;
            var update = _loraB.to(ScalarType.Float32).matmul(_loraA.to(ScalarType.Float32)).mul(scale);
            _weight.copy_(_weight.to(ScalarType.Float32).add(update, HeldScalar.One));
        }
        lora_A = null;
        lora_B = null;
    }

    /// <summary>Bytes of the packed weight now; 0 in training and before the first call.</summary>
    public long PackedBytes => _packed.Bytes;

    /// <summary>F(x·wᵀ + b).</summary>
    public override Tensor forward(Tensor input) => forward(input, null);

    /// <summary>F(x·wᵀ + b) + residual, in one pass over the output.</summary>
    public Tensor forward(Tensor x, Tensor? residual) => _loraA is null || _loraB is null ? Product(x, _activation, residual) : Adapted(x, _loraA, _loraB, residual);

    private Tensor Adapted(Tensor x, Tensor a, Tensor b, Tensor? residual)
    {
        using var scope = NewDisposeScope();
        using Scalar scale = _loraScale;
        var low = functional.linear(x, a).mul(scale);
        var added = functional.linear(low, b, null, Activation.None, _activation == Activation.None ? residual : null);
        var sum = Product(x, Activation.None, added);
        var y = _activation switch
        {
            Activation.None => sum,
            Activation.Gelu => functional.gelu(sum),
            Activation.GeluTanh => functional.gelu(sum, TorchSharp.Modules.GELU.Approximate.tanh),
            _ => functional.silu(sum),
        };
        return (_activation == Activation.None || residual is null ? y : y.add(residual, HeldScalar.One)).MoveToOuterDisposeScope();
    }

    private Tensor Product(Tensor x, Activation activation, Tensor? residual)
    {
        if (CheckpointFunction.InForward || LinearFunction.NeedsGraph(x, _weight, _bias, residual))
        {
            _packed.Dispose();
            return functional.linear(x, _weight, _bias, activation, residual);
        }
        using var packed = _packed.Rent(_weight);
        return functional.linear(x, packed.Weight, _bias, activation, residual);
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
