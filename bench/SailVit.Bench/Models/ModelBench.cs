using System.Diagnostics;
using SailVit.Bench.Onnx;
using SailVit.Model.Encoders;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench.Models;

/// <summary>Benchmarks of a whole encoder: inference, and a training step with AdamW.</summary>
public static class ModelBench
{
    /// <summary>Which model of a pair runs alone.</summary>
    public enum Side
    {
        /// <summary>The fused encoder with <c>FusedAdamW</c>.</summary>
        Ours,

        /// <summary>The stock encoder with <c>torch.optim.AdamW</c>.</summary>
        Stock,
    }

    /// <summary>One image at the encoder's own size: forward, and forward + backward + AdamW step.</summary>
    public static IEnumerable<BenchCase> Cases(string name, EncoderConfig config, ScalarType dtype)
    {
        ArgumentNullException.ThrowIfNull(config);
        double parameterBytes = config.ParameterCount * (double)dtype.ElementSize();
        // Backward is two products for each of forward's. The step reads parameter, gradient and two averages, writes three.
        yield return Case(Direction.Forward, new(config.FlopsPerImage, parameterBytes), "TorchSharp modules");
        yield return Case(Direction.ForwardBackward, new(3.0 * config.FlopsPerImage, 10 * parameterBytes), "TorchSharp modules, torch.optim.AdamW step");

        BenchCase Case(Direction direction, Work work, string baseline) => new()
        {
            Op = name,
            Shape = $"1x{config.Channels}x{config.ImageHeight}x{config.ImageWidth}",
            DType = dtype,
            Direction = direction,
            Work = work,
            Baseline = baseline,
            Create = () => new ModelPair(config, dtype, direction),
        };
    }

    /// <summary>The forward pass against ONNX Runtime; none where that is missing, or for an encoder of another family.</summary>
    public static IEnumerable<BenchCase> AgainstOnnxRuntime(string name, EncoderConfig config, ScalarType dtype) => OnnxEncoder.Cases(name, config, dtype);

    /// <summary>Runs training steps of one side in this process and returns its peak resident memory, MB.</summary>
    /// <remarks>Call it in a process of its own: the high-water mark never falls. The first step allocates the optimizer's
    /// state, the second runs with everything in place.</remarks>
    public static double PeakOfTraining(Side side, EncoderConfig config, ScalarType dtype, int steps = 2)
    {
        using var model = side == Side.Ours ? ModelPair.CreateOurs(config, dtype) : ModelPair.CreateStock(config, dtype);
        var (pixels, gradOutput) = ModelPair.Data(config, dtype);
        for (int i = 0; i < steps; i++)
        {
            using var scope = NewDisposeScope();
            model.Step(pixels, gradOutput);
        }
        pixels.Dispose();
        gradOutput.Dispose();
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64 / 1e6;
    }
}
