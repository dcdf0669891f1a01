using SailVit.Kernels.Dispatch;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Accelerated;

/// <summary>TorchScript runs on the kernels too.</summary>
[Collection(nameof(Interop.WholeProcess))]
public sealed class AcceleratedScriptTests
{
    private const string Script = """
        def block(x, w, gamma):
            y = torch.gelu(torch.matmul(torch.layer_norm(x, [256], gamma), w))
            return torch.silu(torch.scaled_dot_product_attention(y, y, y))

        """;

    [Fact]
    public void Script_MatchesReference()
    {
        manual_seed(3);
        using var scope = NewDisposeScope();
        using var own = LinearDispatch.Use(LinearPath.Own);
        using var script = jit.compile(Script);
        var ran = AcceleratedCheck.Run("script", x => (Tensor)script.invoke("block", x[0], x[1], x[2]),
            randn(2, 4, 256, 256), randn(256, 256) * 0.1, randn(256));
        // The output of attention has its heads within the rows, which silu leaves to libtorch.
        foreach (var op in (string[])["mm", "native_layer_norm", "gelu", "_scaled_dot_product_flash_attention_for_cpu"])
        {
            Assert.Contains($"{op}:cpu", ran);
        }
    }
}
