using TorchSharp;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Kernels.Modules;

/// <summary>Two linear layers with an activation between them, fc2(F(fc1 x)). State: <c>fc1</c>, <c>fc2</c>.</summary>
/// <remarks>Names as in timm. Packed weights are kept as <see cref="Linear"/> keeps them.</remarks>
public sealed class Mlp : Module<Tensor, Tensor>, IResidualBranch
{
    [ComponentName(Name = "fc1")]
    private readonly Linear _fc1;

    [ComponentName(Name = "fc2")]
    private readonly Linear _fc2;

    /// <summary>Creates the network with torch's initialisation.</summary>
    /// <param name="width">Columns of input and output.</param>
    /// <param name="hidden">Columns between the layers.</param>
    /// <param name="hasBias">Whether the layers have biases.</param>
    /// <param name="activation">F.</param>
    /// <param name="device">Of the parameters; null for the default.</param>
    /// <param name="dtype">Of the parameters; null for the default.</param>
    /// <param name="initialize">False: the parameters hold what the memory held, for a checkpoint that fills them all.</param>
    public Mlp(long width, long hidden, bool hasBias = true, Activation activation = Activation.Gelu, Device? device = null, ScalarType? dtype = null, bool initialize = true)
        : base(nameof(Mlp))
    {
        _fc1 = new(width, hidden, hasBias, device, dtype, activation, initialize);
        _fc2 = new(hidden, width, hasBias, device, dtype, initialize: initialize);
        RegisterComponents();
    }

    /// <summary>First layer, with the activation.</summary>
    public Linear fc1 => _fc1;

    /// <summary>Second layer.</summary>
    public Linear fc2 => _fc2;

    /// <summary>fc2(F(fc1 x)).</summary>
    public override Tensor forward(Tensor input) => forward(input, null);

    /// <summary>fc2(F(fc1 x)) + residual.</summary>
    public Tensor forward(Tensor x, Tensor? residual)
    {
        using var hidden = _fc1.forward(x);
        return _fc2.forward(hidden, residual);
    }
}
