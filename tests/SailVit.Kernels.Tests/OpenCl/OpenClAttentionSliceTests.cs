using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Tests.Ops;
using SailVit.Testing;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.OpenCl;

/// <summary>What is a device's own: slices of a batch, lanes, memory that is not the host's.</summary>
public sealed class OpenClAttentionSliceTests
{
    // A thousand heads of a strip each, whose scratch memory is more than one slice's: the bias's gradient is added up across them.
    [Fact]
    public void BatchOfSeveralSlices_MatchesReference()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        using var g = new Generator(9);
        var c = new AttentionCase { Batch = 1100, Queries = 2, Keys = 3, Heads = 1, KvHeads = 1, Width = 256 };
        OpCheck.Run(c.WithLse());
        OpCheck.Run((c with { Mask = randn([2, 3], generator: g) }).WithLse());
        OpCheck.Run((c with { Mask = randn([1100, 1, 1, 3], generator: g) }).WithLse());
    }

    [Fact]
    public void ManyLanes_RepeatToTheBit()
    {
        using var device = new OnOpenCl();
        using var lanes = OpenClRows.Force(manyLanes: true);
        foreach (var mask in (Tensor?[])[null, randn(97, 65), randn(65)])
        {
            var inputs = new AttentionCase { Queries = 97, Keys = 65, Heads = 4, Width = 40, Mask = mask }.Inputs();
            Determinism.Check("attention, many lanes", () => Pass(inputs), 50);
        }
    }

    [Fact]
    public void OnADeviceWithItsOwnMemory_ResultsAreTheSame()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        var inputs = new AttentionCase { Queries = 50, Keys = 70, Heads = 4, Mask = randn(50, 70) }.Inputs();
        var expected = Pass(inputs);
        using var separate = DeviceScope.ForceSeparateMemory();
        Tensor[] results;
        using (new DeviceScope())
        {
            results = Pass(inputs);
        }
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Null(Bits.FirstDifference(expected[i], results[i]));
        }
    }

    private static Tensor[] Pass(Tensor?[] inputs)
    {
        var leaves = Array.ConvertAll(inputs, t => t?.detach().requires_grad_());
        var output = functional.attention(leaves[0]!, leaves[1]!, leaves[2]!, leaves[3]);
        using var g = new Generator(3);
        output.backward([randn(output.shape, generator: g)]);
        return [output.detach(), .. leaves.Where(l => l is not null).Select(l => l!.grad!)];
    }
}
