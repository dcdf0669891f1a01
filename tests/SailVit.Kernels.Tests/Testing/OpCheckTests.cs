using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Interop;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Testing;

public sealed class OpCheckTests
{
    private static OpCase Product(Func<Tensor[], Tensor[]> ours, ScalarType dtype = ScalarType.Float32) => new()
    {
        Name = "product",
        Inputs = [randn(37, 16).to(dtype), randn(16).to(dtype), null, arange(3)],
        Ours = ours,
        Stock = t => [t[0] * t[1]],
    };

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void SameComputation_Passes(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        OpCheck.Run(Product(t => [t[0] * t[1]], dtype));
    }

    [Fact]
    public void EveryWidthRuns()
    {
        using var scope = NewDisposeScope();
        var seen = new List<SimdWidth>();
        OpCheck.Run(Product(t =>
        {
            seen.Add(Cpu.Width);
            return [t[0] * t[1]];
        }));
        Assert.Equal(Cpu.Available, seen);
    }

    [Fact]
    public void WrongOutput_Fails() => Expect("output 0", t => [t[0] * t[1] * 1.00001]);

    [Fact]
    public void WrongGradient_FailsAndNamesInputWidthAndSeed()
    {
        // Same value, gradient of the second factor detached from one row.
        var message = Expect("gradient of input 1", t => [torch.cat([t[0][..1] * t[1].detach(), t[0][1..] * t[1]])]);
        Assert.Contains("seed 1", message, StringComparison.Ordinal);
        Assert.Contains(Cpu.Available[0].ToString(), message, StringComparison.Ordinal);
    }

    [Fact]
    public void MissingGradient_Fails() => Expect("absent", t => [t[0] * t[1].detach()]);

    [Fact]
    public void ModifiedInput_Fails() => Expect("was modified", t =>
    {
        var y = t[0] * t[1];
        t[3].add_(1);
        return [y];
    });

    [Fact]
    public void InputStrides_ReachTheOp()
    {
        using var scope = NewDisposeScope();
        OpCheck.Run(Product(t =>
        {
            Assert.Equal([1L, 37L], t[0].stride());
            return [t[0] * t[1]];
        }) with
        { Inputs = [Strides.Transposed(randn(37, 16)), randn(16)] });
    }

    [Fact]
    public void GradLayout_ReachesTheOp()
    {
        using var scope = NewDisposeScope();
        var strides = new List<long[]>();
        var c = new OpCase { Name = "identity", Inputs = [randn(3, 4)], Ours = t => Identity.Run(strides, t), Stock = t => [t[0].clone()] };
        OpCheck.Run(c with { GradLayout = Strides.Expanded, Widths = [Cpu.Available[0]] });
        Assert.Equal([0L, 1L], Assert.Single(strides));
    }

    [Fact]
    public void Differences_AcceptTheRightGradientAndRefuseAWrongOne()
    {
        using var scope = NewDisposeScope();
        Tensor[] inputs = [randn(3, 4), randn(4)];
        static Tensor Formula(Tensor[] t) => (t[0] * t[1]).tanh();
        GradCheck.Run("tanh", Formula, Formula, inputs);
        Assert.Throws<ProtocolException>(() => GradCheck.Run("tanh", t => Formula(t) * 1.001, Formula, inputs));
    }

    /// <summary>Records the strides of its incoming gradients.</summary>
    private sealed class Identity : OpFunction<Identity, List<long[]>>
    {
        public override string Name => "identity";

        protected override ForwardResult Forward(List<long[]> state, Tensor?[] inputs) => new([inputs[0]!.clone()], []);

        protected override Tensor?[] Backward(List<long[]> state, Tensor?[] saved, Tensor?[] grads, bool[] needed)
        {
            state.Add(grads[0]!.stride());
            return [grads[0]!.clone()];
        }
    }

    private static string Expect(string part, Func<Tensor[], Tensor[]> ours)
    {
        using var scope = NewDisposeScope();
        var message = Assert.Throws<ProtocolException>(() => OpCheck.Run(Product(ours))).Message;
        Assert.Contains(part, message, StringComparison.Ordinal);
        return message;
    }
}
