using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Backends.Portable;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Norm;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.OpenCl;

/// <summary>Which backend computes what, where scopes, passes and backends mix.</summary>
public sealed class OpenClBackendTests
{
    private static readonly BackendKind[] Both = [BackendKind.Cpu, BackendKind.OpenCl];

    // GELU: its derivative has other bits on each, and so have a linear layer's sums.
    [Fact]
    public void Backward_RunsWhereForwardRan()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        using var g = new Generator(7);
        var (x, weight) = (randn([64, 96], generator: g), randn([32, 96], generator: g));
        foreach (var op in (Func<Tensor, Tensor>[])[t => functional.gelu(t), t => functional.linear(t, weight, null, Activation.Gelu)])
        {
            foreach (var forward in Both)
            {
                using var here = Gradient(op, x, forward, forward);
                foreach (var backward in Both)
                {
                    using var there = Gradient(op, x, forward, backward);
                    Assert.True(here.eq(there).all().item<bool>(), $"{forward}, gradient under {backward}");
                }
            }
        }
    }

    private static Tensor Gradient(Func<Tensor, Tensor> op, Tensor x, BackendKind forward, BackendKind backward)
    {
        using var leaf = x.detach().clone().requires_grad_();
        Tensor y;
        using (Dispatcher.Use(forward))
        {
            y = op(leaf);
        }
        using (y)
        using (var sum = y.sum())
        using (Dispatcher.Use(backward))
        {
            sum.backward();
        }
        return leaf.grad!.DetachFromDisposeScope();
    }

    [Fact]
    public void AcceleratedOperators_AreLibTorchsUnderOpenCl()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        var x = randn(64, 1000);
        using var stock = nn.functional.layer_norm(x, [1000]);
        using var accelerator = Accelerator.Install();
        using var installed = nn.functional.layer_norm(x, [1000]);
        Assert.True(stock.eq(installed).all().item<bool>());
    }

    [Fact]
    public void MoreGroupsThanAKernelCounts_AreRefused()
    {
        using var device = new OnOpenCl();
        var e = Assert.Throws<OpenClException>(() => OpenClQueue.Of(OpenClDevices.Current).Run(SumPortable<PortableF32, PortableF32, OneLane>.Kernel, 1L << 31, [], new SumScalars()));
        Assert.Contains("smaller batches", e.Message, StringComparison.Ordinal);
    }

    // One buffer begins with a 16-bit number at an odd place, and the floats behind it must still be whole.
    [Fact]
    public unsafe void OverlappingOperandsOfTwoTypes_KeepTheirPlaces()
    {
        using var device = new OnOpenCl();
        using var scope = NewDisposeScope();
        const int Width = 8;
        var memory = stackalloc float[2 * Width];
        for (int i = 0; i < 2 * Width; i++)
        {
            memory[i] = MathF.Sin(i);
        }
        var gamma = ones(Width);
        var sums = Array.ConvertAll(Both, backend =>
        {
            using var use = Dispatcher.Use(backend);
            var (y, sum) = (empty(Width, dtype: bfloat16), empty(Width));
            NormLaunch<RootMeanSquare>.Forward(
                new()
                {
                    X = (byte*)memory + sizeof(ushort),
                    XStride = Width,
                    Residual = (byte*)(memory + 1),
                    ResidualStride = Width,
                    Gamma = (float*)new TensorView(gamma).Data,
                    Y = new TensorView(y).Data,
                    Sum = new TensorView(sum).Data,
                    Rows = 1,
                    Width = Width,
                },
                DType.BFloat16,
                DType.Float32);
            return sum;
        });
        Assert.Equal(sums[0].data<float>().ToArray(), sums[1].data<float>().ToArray());
    }
}
