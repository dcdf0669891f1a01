using SailVit.Kernels.Ops.Checkpoint;
using SailVit.Kernels.Ops.Linear;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>Names of a SwiGLU network's layers in the state_dict.</summary>
public readonly record struct SwiGluNames(string Gate, string Down, string Up)
{
    /// <summary>fc1, fc2, fc3 (AIMv2, SAILViT).</summary>
    public static SwiGluNames Aimv2 { get; } = new("fc1", "fc2", "fc3");

    /// <summary>gate_proj, down_proj, up_proj (Llama, Qwen).</summary>
    public static SwiGluNames Llama { get; } = new("gate_proj", "down_proj", "up_proj");
}

/// <summary>A SwiGLU network, fc2(silu(fc1 x)·fc3 x). State: <c>fc1</c> (gate), <c>fc2</c> (down), <c>fc3</c> (up), or as <see cref="SwiGluNames"/> says.</summary>
/// <remarks>Both products of the first half are one, their gate fused. Packed weights are kept as <see cref="Linear"/> keeps them.
/// Source: Shazeer 2020; names as in AIMv2.</remarks>
public sealed class SwiGLU : Module<Tensor, Tensor>, IResidualBranch
{
    private readonly Linear _fc1;
    private readonly Linear _fc2;
    private readonly Linear _fc3;

    private readonly PackedWeightCache _packed = new();

    /// <summary>Creates the network with torch's initialisation.</summary>
    /// <param name="width">Columns of input and output.</param>
    /// <param name="hidden">Columns between the halves.</param>
    /// <param name="hasBias">Whether the three layers have biases.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    /// <param name="names">Names in the state_dict; null for <see cref="SwiGluNames.Aimv2"/>.</param>
    /// <param name="initialize">False: the parameters hold what the memory held, for a checkpoint that fills them all.</param>
    public SwiGLU(long width, long hidden, bool hasBias = false, Device? device = null, ScalarType? dtype = null, SwiGluNames? names = null, bool initialize = true)
        : base(nameof(SwiGLU))
    {
        _fc1 = new(width, hidden, hasBias, device, dtype, initialize: initialize);
        _fc2 = new(hidden, width, hasBias, device, dtype, initialize: initialize);
        _fc3 = new(width, hidden, hasBias, device, dtype, initialize: initialize);
        var n = names ?? SwiGluNames.Aimv2;
        register_module(n.Gate, _fc1);
        register_module(n.Down, _fc2);
        register_module(n.Up, _fc3);
    }

    /// <summary>Gate.</summary>
    public Linear fc1 => _fc1;

    /// <summary>Down.</summary>
    public Linear fc2 => _fc2;

    /// <summary>Up.</summary>
    public Linear fc3 => _fc3;

    /// <summary>fc2(silu(fc1 x)·fc3 x).</summary>
    public override Tensor forward(Tensor input) => forward(input, null);

    /// <summary>fc2(silu(fc1 x)·fc3 x) + residual.</summary>
    public Tensor forward(Tensor x, Tensor? residual)
    {
        using var hidden = Hidden(x);
        return _fc2.forward(hidden, residual);
    }

    private Tensor Hidden(Tensor x)
    {
        if (_fc1.lora_A is not null || _fc3.lora_A is not null)
        {
            using var gate = _fc1.forward(x);
            using var up = _fc3.forward(x);
            return functional.swiglu(gate, up);
        }
        if (CheckpointFunction.InForward || LinearSwiGluFunction.NeedsGraph(x, _fc1.weight, _fc3.weight, _fc1.bias, _fc3.bias))
        {
            _packed.Dispose();
            return functional.linear_swiglu(x, _fc1.weight, _fc3.weight, _fc1.bias, _fc3.bias);
        }
        using var packed = _packed.Rent(_fc1.weight, _fc3.weight);
        return functional.linear_swiglu(x, packed.Weight, _fc1.bias, _fc3.bias);
    }

    // Registered by name in the constructor.
    /// <inheritdoc/>
    protected override void RegisterComponents() { }

    // As in Linear.
    /// <inheritdoc/>
    public override Dictionary<string, Tensor> state_dict(Dictionary<string, Tensor>? destination = null, string? prefix = null)
    {
        _packed.Dispose();
        return base.state_dict(destination, prefix);
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
