using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Bench;

/// <summary>Seeded values of a plausible size.</summary>
public static class Inputs
{
    private static readonly Generator Generator = new(1);

    /// <summary>Storage types that ops are measured in, the most used first.</summary>
    public static ScalarType[] DTypes { get; } = [ScalarType.Float32, ScalarType.BFloat16];

    /// <summary>The same and float16, for element-wise ops, where its conversion is most of the work.</summary>
    public static ScalarType[] ElementwiseDTypes { get; } = [.. DTypes, ScalarType.Float16];

    /// <summary>Standard normal values: activations and gradients.</summary>
    public static Tensor Normal(ScalarType dtype, params long[] shape)
    {
        using var values = randn(shape, generator: Generator);
        return values.to(dtype, copy: true);
    }

    /// <summary>A weight of [outputs, inputs…], normal with deviation 1/√inputs, so that outputs are of the size of inputs.</summary>
    public static Tensor Weight(ScalarType dtype, params long[] shape)
    {
        long fan = shape.Skip(1).Aggregate(1L, (a, b) => a * b);
        using var values = randn(shape, generator: Generator);
        return values.mul_(1 / Math.Sqrt(fan)).to(dtype, copy: true);
    }

    /// <summary>Norm weights: around one.</summary>
    public static Tensor Gain(ScalarType dtype, long width)
    {
        using var values = randn(width, generator: Generator);
        return values.mul_(0.1).add_(1).to(dtype, copy: true);
    }
}
