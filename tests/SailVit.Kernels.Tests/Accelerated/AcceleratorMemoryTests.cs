using SailVit.Kernels.Dispatch;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Accelerated;

/// <summary>Every operator that is taken over, ten thousand times: computed here, and handed on.</summary>
[Collection(nameof(Interop.WholeProcess))]
public sealed class AcceleratorMemoryTests
{
    private static readonly string[] Operators =
    [
        "mm", "bmm", "native_layer_norm", "native_layer_norm_backward", "gelu", "gelu_backward", "silu", "silu_backward",
        "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention_for_cpu_backward",
    ];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void TenThousandSteps_LeaveNothingBehind(bool served)
    {
        // Float64 is libtorch's; otherwise the sizes are those from which the kernels here compute.
        using var outer = NewDisposeScope();
        using var rule = LinearDispatch.Use(served ? LinearPath.Own : LinearPath.LibTorch);
        var dtype = served ? ScalarType.Float32 : ScalarType.Float64;
        using var accelerator = Accelerator.Install();
        var x = randn(1, 24, 16, dtype: dtype).requires_grad_();
        var w = randn(16, 16, dtype: dtype).requires_grad_();
        var q = randn(1, 2, 8, 16, dtype: dtype).requires_grad_();
        var (rows, gamma) = (randn(served ? ServedRows : 4, 256, dtype: dtype).requires_grad_(), ones(256, dtype: dtype).requires_grad_());
        void Step()
        {
            using var scope = NewDisposeScope();
            var products = linear(x, w).bmm(x.transpose(1, 2)).sum();
            (products + silu(gelu(layer_norm(rows, [256], gamma))).square().sum() + scaled_dot_product_attention(q, q, q).sum()).backward();
        }
        using (var events = new AcceleratedCheck.Events())
        {
            Step();
            Assert.All(Operators, o => Assert.Contains($"{o}:{(served ? "cpu" : "libtorch")}", events.Ran));
        }
        for (int i = 0; i < 300; i++)
        {
            Step();
        }
        long before = ResidentBytes();
        for (int i = 0; i < 10_000; i++)
        {
            Step();
        }
        // 10,000 lost tensors of the smallest kind here would be 15 MB, lost handles alone 2.
        Assert.InRange(ResidentBytes() - before, long.MinValue, 12 << 20);
    }

    private const long ServedRows = 128;

    private static long ResidentBytes()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        return Environment.WorkingSet;
    }
}
