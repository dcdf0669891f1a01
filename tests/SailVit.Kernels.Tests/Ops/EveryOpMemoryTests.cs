using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Tests.Interop;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Ops;

/// <summary>Ten thousand steps through every op, forward and backward, leave nothing behind.</summary>
[Collection(nameof(WholeProcess))]
public sealed class EveryOpMemoryTests
{
    // One tensor of this size lost per step adds up to 160 MB.
    private const int Steps = 10_000, Rows = 16, Width = 256;

    private static Tensor Step(Tensor x, Tensor w, Tensor gamma, Tensor offsets)
    {
        var h = functional.rms_norm(x, [Width], gamma);
        (h, var r) = functional.add_layer_norm(h, x, [Width], gamma, gamma);
        (h, r) = functional.add_rms_norm(h, r, [Width], gamma);
        h = functional.linear(h, w, gamma, Activation.GeluTanh, r);
        using (LinearDispatch.Use(LinearPath.Own))
        {
            h = functional.linear_swiglu(h, w, w, gamma, gamma) + functional.linear(h, w, gamma, Activation.Silu);
        }
        h = functional.swiglu(functional.gelu(h), functional.silu(h)) + functional.silu(h * 1, inplace: true);
        h = functional.layer_scale_add(h, r, gamma, 0.5, training: true);
        var heads = h.view(1, Rows, 4, 64);
        heads = functional.attention(heads, heads, heads, gamma.narrow(0, 0, Rows)) + functional.attention_qkvpacked(stack([heads, heads, heads], 2), is_causal: true);
        var flat = heads.view(Rows, 4, 64);
        h = functional.attention_varlen(flat, flat, flat, offsets, offsets).reshape(Rows, Width);
        var tokens = functional.patch_embed(h.view(1, 1, 64, 64), w.view(64, 1, 32, 32), norm: PatchNorm.LayerNorm);
        return functional.checkpoint(v => functional.silu(v) * gamma.sum(), tokens).sum();
    }

    private static void Fail(Tensor x, Tensor w)
    {
        Assert.Throws<ArgumentException>(() => functional.linear(x, w.narrow(1, 0, 3)));
        Assert.Throws<InvalidOperationException>(() => functional.checkpoint(_ => throw new InvalidOperationException("planted"), x));
        var h = x * 1;
        var loss = functional.silu(h).sum();
        h.add_(1);
        Assert.Throws<BackwardException>(() => BackwardException.Run(loss));
    }

    [Fact]
    public void ManySteps_LeaveMemoryFlat()
    {
        using var x = randn(Rows, Width).requires_grad_();
        using var w = randn(Width, Width).requires_grad_();
        using var gamma = ones(Width).requires_grad_();
        using var offsets = tensor(new long[] { 0, 5, Rows });
        void Run(int steps)
        {
            for (int i = 0; i < steps; i++)
            {
                using var scope = NewDisposeScope();
                Step(x, w, gamma, offsets).backward();
                if (i % 50 == 0)
                {
                    Fail(x, w);
                }
            }
            InFlightGradients.Release();
        }
        Run(Steps / 10);
        var (resident, live) = (OpFunctionMemoryTests.ResidentBytes, OpFunctionMemoryTests.LiveTensors);
        Run(Steps);
        Assert.Equal(live, OpFunctionMemoryTests.LiveTensors);
        Assert.InRange(OpFunctionMemoryTests.ResidentBytes - resident, long.MinValue, Steps * Rows * Width * sizeof(float) / 4);
    }
}
