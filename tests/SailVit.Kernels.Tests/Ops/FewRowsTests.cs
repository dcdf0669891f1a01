using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Linear layers on few rows without a graph, where the weight is read as it lies.</summary>
public sealed class FewRowsTests
{
    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void Outputs_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(51);
        foreach (var (depth, columns) in ((long, long)[])[(1, 1), (3, 5), (64, 64), (257, 130), (1024, 67), (2048, 256)])
        {
            foreach (long rows in (long[])[1, 3, 8])
            {
                OpCheck.Run(LinearCases.Linear($"[{rows}, {depth}] to {columns}", LinearCases.Inputs([rows], depth, columns, dtype, g, residual: true), LinearPath.Own, Activation.Gelu) with { Differentiable = [] });
                OpCheck.Run(LinearCases.SwiGlu($"[{rows}, {depth}] to {columns}", LinearCases.SwiGluInputs([rows], depth, columns, dtype, g), LinearPath.Own) with { Differentiable = [] });
            }
        }
    }

    [Fact]
    public void NothingIsPacked()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var packed = new PackedWeight(randn(128, 64));
        functional.linear(randn(8, 64), packed);
        Assert.Equal(0, packed.Bytes);
        functional.linear(randn(9, 64), packed);
        Assert.NotEqual(0, packed.Bytes);
    }

    [Fact]
    public void TransposedWeight_IsNotMistakenForRows()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(52);
        var inputs = LinearCases.Inputs([2], 48, 70, float32, g);
        inputs[1] = inputs[1]!.t().contiguous().t();
        OpCheck.Run(LinearCases.Linear("transposed weight", inputs, LinearPath.Own) with { Differentiable = [] });
    }

    [Fact]
    public void Results_DoNotDependOnThreads()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var own = LinearDispatch.Use(LinearPath.Own);
        var (x, w) = (randn(3, 300), randn(1000, 300));
        Determinism.CheckThreads("linear, few rows", () => [functional.linear(x, w)]);
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("linear, few rows", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 9_000_000);
        var inputs = LinearCases.Inputs([random.Next(1, 9)], random.Next(1, 700), random.Next(1, 200), random.Pick(float32, bfloat16, float16), g, random.Chance(), random.Chance());
        OpCheck.Run(LinearCases.Linear("random", inputs, LinearPath.Own, random.Pick(Activation.None, Activation.Silu), seed) with { Differentiable = [], Widths = [random.Pick(Cpu.Available)] });
    });
}
