using SailVit.Kernels;
using SailVit.Model.Encoders;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace SailVit.Model.Multimodal;

/// <summary>From merged patches to the language model's width: LayerNorm, Linear, GELU, Linear. Keys: 0, 1, 3.</summary>
/// <remarks>Source: InternVL, arXiv 2404.16821, mlp1.</remarks>
public sealed class Connector : Module<Tensor, Tensor>
{
    private readonly Kernels.Modules.LayerNorm _norm;
    private readonly Kernels.Modules.Linear _first;
    private readonly Kernels.Modules.Linear _second;

    /// <summary>Creates the connector with torch's initialisation.</summary>
    /// <param name="merged">Channels of a merged patch: merge² · those of the encoder.</param>
    /// <param name="width">Channels of the language model.</param>
    /// <param name="dtype">Of the parameters.</param>
    public Connector(long merged, long width, ScalarType dtype = ScalarType.Float32) : base(nameof(Connector))
    {
        _norm = new(merged, dtype: dtype);
        _first = new(merged, width, dtype: dtype, activation: Activation.Gelu);
        _second = new(width, width, dtype: dtype);
        register_module("0", _norm);
        register_module("1", _first);
        register_module("3", _second);
    }

    /// <summary>[…, merged] → […, width].</summary>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return _second.call(_first.call(_norm.call(input))).MoveToOuterDisposeScope();
    }

    // Registered by name in the constructor.
    /// <inheritdoc/>
    protected override void RegisterComponents() { }
}
