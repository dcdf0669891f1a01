using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Modules;
using SailVit.Kernels.Ops.Linear;
using SailVit.Kernels.Tests.Ops;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.OpenCl;

/// <summary>What the protocol of the ops does not see of their products: memory, blocks, packed weights, what stays on a device.</summary>
public sealed class OpenClProductTests : IDisposable
{
    private static readonly bool[] Lanes = [false, true];

    private readonly OnOpenCl _device = new();
    private readonly DisposeScope _tensors = NewDisposeScope();

    public void Dispose()
    {
        _tensors.Dispose();
        _device.Dispose();
    }

    [Theory]
    [InlineData(ScalarType.Float32, 4)]
    [InlineData(ScalarType.BFloat16, 2)]
    [InlineData(ScalarType.Float16, 6)]
    public unsafe void NothingButTheResult_IsWritten_AndAllOfIt(ScalarType dtype, int misalignment)
    {
        foreach (bool many in Lanes)
        {
            using var forced = OpenClRows.Force(many);
            foreach (var (rows, depth, columns) in ((long, long, long)[])[(1, 1, 1), (6, 3, 32), (13, 20, 37), (7, 65, 130), (3, 0, 5)])
            {
                var (x, w) = (randn(rows, depth).to(dtype), randn(columns, depth).to(dtype));
                using var left = new OpenClMatrix(x);
                using var right = new OpenClMatrix(w);
                using var y = new Canary(rows * columns, dtype, misalignment);
                using var before = new Canary(rows * columns, dtype, misalignment);
                var output = new LinearOutput(y.Pointer, rows, columns) { Before = before.Pointer };
                LinearOpenCl.Run(new MatrixPanels(left.View, columns: false), new MatrixPanels(right.View, columns: false), null, Activation.Silu, output, (DType)dtype);
                var name = $"[{rows}, {depth}] to {columns}, {dtype}, many lanes {many}";
                y.Check(name);
                before.Check($"before the activation, {name}");
                Assert.True(nn.functional.silu(before.ToTensor(rows, columns)).allclose(y.ToTensor(rows, columns), 1e-2, 1e-2), name);
            }
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void PackedWeight_GivesTheBitsOfUnpacked(ScalarType dtype)
    {
        using var g = new Generator(1);
        foreach (bool many in Lanes)
        {
            using var forced = OpenClRows.Force(many);
            foreach (long columns in (long[])[5, 70, 200])
            {
                var t = LinearCases.Inputs([5, 7], 40, columns, dtype, g, residual: true);
                using var packed = new PackedWeight(t[1]!);
                Assert.Null(Bits.FirstDifference(functional.linear(t[0]!, t[1]!, t[2], Activation.Gelu, t[3]), functional.linear(t[0]!, packed, t[2], Activation.Gelu, t[3])));
                var s = LinearCases.SwiGluInputs([9], 40, columns, dtype, g);
                using var pair = new PackedWeight(s[1]!, s[2]!);
                Assert.Null(Bits.FirstDifference(functional.linear_swiglu(s[0]!, s[1]!, s[2]!, s[3], s[4]), functional.linear_swiglu(s[0]!, pair, s[3], s[4])));
            }
        }
    }

    // As deep as it takes for several blocks of rows and groups of columns.
    [Fact]
    public void BlocksOfRowsAndColumns_MakeOneProduct()
    {
        using var g = new Generator(2);
        OpCheck.Run(LinearCases.Linear("deep", LinearCases.Inputs([131], 65536, 270, float32, g, residual: true), LinearPath.Own) with { Differentiable = [] });
        OpCheck.Run(LinearCases.SwiGlu("deep", LinearCases.SwiGluInputs([5], 65536, 150, float32, g), LinearPath.Own) with { Differentiable = [] });
    }

    [Fact]
    public void TilesOfNarrowVectors_MatchReference()
    {
        using var g = new Generator(7);
        using var narrow = OpenClProduct.ForceVectorWidth(8);
        OpenClCase(LinearCases.Linear("narrow", LinearCases.Inputs([23], 130, 70, float32, g, residual: true), LinearPath.Own, Activation.Gelu));
        OpenClCase(LinearCases.SwiGlu("narrow", LinearCases.SwiGluInputs([23], 130, 70, float32, g), LinearPath.Own));

        static void OpenClCase(OpCase c)
        {
            // Seed 2 is the one lane of a processor.
            OpCheck.Run(c with { Widths = [Cpu.Widest], Seed = 2 });
        }
    }

    [Fact]
    public void OperandsThatAreOneTensor_AreReadAsTheyAre()
    {
        using var g = new Generator(3);
        var x = randn([24, 24], generator: g);
        using var expected = nn.functional.linear(x, x) + x;
        Assert.True(functional.linear(x, x, null, Activation.None, x).allclose(expected, 1e-5, 1e-5));
        Assert.True(functional.linear_swiglu(x, x, x).allclose(nn.functional.silu(nn.functional.linear(x, x)) * nn.functional.linear(x, x), 1e-5, 1e-5));
    }

    [Fact]
    public void Results_AreTheSameInEveryRun()
    {
        using var g = new Generator(4);
        var (pixels, patches, labels) = (randn([2, 3, 28, 28], generator: g), randn([33, 3, 14, 14], generator: g), randint(0, 33, [40], generator: g, dtype: int64));
        var (x, w, u, b) = (randn([40, 50], generator: g), randn([33, 50], generator: g), randn([33, 50], generator: g), randn([33], generator: g));
        Tensor[] Work()
        {
            Tensor[] leaves = [.. new[] { pixels, patches, x, w, u, b }.Select(t => t.detach().requires_grad_())];
            var tokens = functional.patch_embed(leaves[0], leaves[1], leaves[5]);
            var hidden = functional.linear_swiglu(leaves[2], leaves[3], leaves[4], leaves[5]) + functional.linear(leaves[2], leaves[3], leaves[5], Activation.Gelu);
            var loss = functional.linear_cross_entropy(leaves[2], leaves[3], labels) + tokens.square().sum() + hidden.square().sum();
            loss.backward();
            return [tokens.detach(), hidden.detach(), loss.detach(), .. leaves.Select(l => l.grad!)];
        }
        foreach (bool many in Lanes)
        {
            using var forced = OpenClRows.Force(many);
            Determinism.Check($"products, many lanes {many}", Work, repeats: 50);
        }
    }

    [Fact]
    public void InADeviceScope_OperandsCrossOnce()
    {
        using var separate = DeviceScope.ForceSeparateMemory();
        using var noGrad = no_grad();
        using var g = new Generator(5);
        var (x, w, v, b) = (randn([33, 48], generator: g), randn([80, 48], generator: g), randn([48, 80], generator: g), randn([80], generator: g));
        using var packed = new PackedWeight(w);
        Tensor Layers() => functional.linear(functional.linear(x, packed, b, Activation.Gelu), v, null, Activation.None, x);
        var expected = Layers();
        using var scope = new DeviceScope([x, w, v, b]);
        for (int pass = 0; pass < 2; pass++)
        {
            var result = Layers();
            Assert.Equal((x.numel() + w.numel() + v.numel() + b.numel()) * sizeof(float), scope.UploadedBytes);
            Assert.Equal(pass * expected.numel() * sizeof(float), scope.DownloadedBytes);
            scope.Download(result);
            Assert.Null(Bits.FirstDifference(expected, result));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void InADeviceScope_NoTensorOfABlockCrosses(bool gated)
    {
        using var separate = DeviceScope.ForceSeparateMemory();
        using var noGrad = no_grad();
        using var block = gated
            ? new Block(new RMSNorm(64), new Attention(64, 2), new RMSNorm(64), new SwiGLU(64, 96), 64, BlockNames.Aimv2)
            : new Block(new LayerNorm(64), new Attention(64, 2, qkvBias: true), new LayerNorm(64), new Mlp(64, 96), 64, BlockNames.Timm, layerScale: 0.1);
        var x = randn([2, 17, 64]);
        var expected = block.forward(x);
        using var scope = new DeviceScope([x, .. block.parameters()]);
        var result = block.forward(x);
        long uploaded = scope.UploadedBytes;
        result = block.forward(x);
        // The table of attention's heads is made on the host.
        Assert.InRange(scope.UploadedBytes - uploaded, 0, x.numel() * sizeof(float) / 4);
        Assert.Equal(0, scope.DownloadedBytes);
        scope.Download(result);
        Assert.Null(Bits.FirstDifference(expected, result));
    }

    [Fact]
    public void InADeviceScope_GradientsAreThoseOfSingleOps()
    {
        using var separate = DeviceScope.ForceSeparateMemory();
        using var g = new Generator(6);
        var (x, w, u, labels) = (randn([20, 3, 16], generator: g), randn([24, 16], generator: g), randn([24, 16], generator: g), randint(0, 24, [60], generator: g, dtype: int64));
        Tensor[] Gradients()
        {
            Tensor[] leaves = [.. new[] { x, w, u }.Select(t => t.detach().requires_grad_())];
            var h = functional.linear(functional.linear_swiglu(leaves[0].transpose(0, 1), leaves[1], leaves[2]), leaves[1].t(), null, Activation.Gelu);
            functional.linear_cross_entropy(h.view(-1, 16), leaves[2], labels).backward();
            return Array.ConvertAll(leaves, l => l.grad!);
        }
        var expected = Gradients();
        using var scope = new DeviceScope();
        var result = Gradients();
        scope.Download(result);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Null(Bits.FirstDifference(expected[i], result[i]));
        }
    }
}
