using SailVit.Bench.Measuring;
using SailVit.Bench.Stock;
using SailVit.Model.Encoders;
using SailVit.Model.Training;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace SailVit.Bench.Models;

/// <summary>The fused encoder and the stock one with the same weights.</summary>
internal sealed class ModelPair : BenchPair
{
    private const double LearningRate = 1e-5;

    private readonly EncoderConfig _config;
    private readonly ScalarType _dtype;
    private readonly Direction _direction;
    private readonly ModelSide _ours, _stock;
    private readonly Tensor _pixels, _gradOutput;

    public ModelPair(EncoderConfig config, ScalarType dtype, Direction direction)
    {
        _config = config;
        _dtype = dtype;
        _direction = direction;
        manual_seed(1);
        _stock = CreateStock(config, dtype);
        _ours = CreateOurs(config, dtype);
        _ours.Model.load_state_dict(_stock.Model.state_dict());
        (_pixels, _gradOutput) = Data(config, dtype);
    }

    /// <summary>Our side alone.</summary>
    public static ModelSide CreateOurs(EncoderConfig config, ScalarType dtype) =>
        new(new VisionTransformer(config).to(dtype), p => new FusedAdamW(p, LearningRate));

    /// <summary>The baseline alone.</summary>
    public static ModelSide CreateStock(EncoderConfig config, ScalarType dtype) =>
        new(new StockVisionTransformer(config).to(dtype), p => new AdamW(p, LearningRate));

    /// <summary>One normalised image, and a gradient for the encoder's output.</summary>
    public static (Tensor Pixels, Tensor GradOutput) Data(EncoderConfig config, ScalarType dtype) =>
        (Inputs.Normal(dtype, 1, config.Channels, config.ImageHeight, config.ImageWidth).DetachFromDisposeScope(),
         Inputs.Normal(dtype, 1, config.Tokens, config.HiddenSize).DetachFromDisposeScope());

    public override Tensor[] Ours() => Call(_ours);

    public override Tensor[] Stock() => Call(_stock);

    public override (double? Ours, double? Stock) Errors()
    {
        var errors = ComputeErrors();
        // The reference took more memory than what follows; the machine may need it.
        WarmMemory.Release();
        return errors;
    }

    protected override void Dispose(bool disposing)
    {
        _ours.Dispose();
        _stock.Dispose();
        _pixels.Dispose();
        _gradOutput.Dispose();
        // Processes that measure peak memory run next, beside this one.
        WarmMemory.Release();
    }

    private Tensor[] Call(ModelSide side) => _direction == Direction.Forward ? side.Forward(_pixels) : side.Step(_pixels, _gradOutput);

    private Tensor[] Results(ModelSide side, Tensor pixels, Tensor gradOutput) =>
        _direction == Direction.Forward ? side.Forward(pixels) : side.Gradients(pixels, gradOutput);

    private (double? Ours, double? Stock) ComputeErrors()
    {
        using var scope = NewDisposeScope();
        // The activations of all blocks in float64 would be the largest thing in this process.
        using var exact = new ModelSide(new StockVisionTransformer(_config) { GradientCheckpointing = true }.to(ScalarType.Float64), p => new AdamW(p, LearningRate));
        exact.Model.load_state_dict(_stock.Model.state_dict());
        var reference = Results(exact, _pixels.to(float64), _gradOutput.to(float64));
        return (Error(_ours, reference), Error(_stock, reference));
    }

    private double Error(ModelSide side, Tensor[] reference)
    {
        using var scope = NewDisposeScope();
        return RelativeError.Worst(Results(side, _pixels, _gradOutput), reference);
    }
}
