using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Accelerated;

/// <summary>Installing, disposing, and whole stock modules.</summary>
[Collection(nameof(Interop.WholeProcess))]
public sealed class AcceleratorTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public AcceleratorTests() => manual_seed(5);

    public void Dispose() => _scope.Dispose();

    public static TheoryData<string> Models => ["encoder layer", "multi-head attention", "vision transformer"];

    [Theory]
    [MemberData(nameof(Models))]
    public void StockModules_MatchReference(string kind)
    {
        var x = randn(65, 2, 96);
        var (model, forward) = Create(kind);
        Tensor[] Run(ScalarType dtype)
        {
            model.to(dtype);
            model.zero_grad();
            var input = x.to(dtype).clone().requires_grad_();
            var y = forward(input);
            y.backward([(arange(y.numel(), dtype: float32) * 0.37).cos().reshape(y.shape).to(dtype)]);
            Tensor[] results = [y.detach(), input.grad!, .. model.parameters().Select(p => p.grad!.clone())];
            model.zero_grad();
            return results;
        }
        var stock = Run(float32);
        Tensor[] ours, again;
        using var events = new AcceleratedCheck.Events();
        using (Accelerator.Install())
        {
            ours = Run(float32);
            again = Run(float32);
        }
        Assert.Contains("mm:cpu", events.Ran);
        var restored = Run(float32);
        var reference = Run(float64);
        for (int i = 0; i < stock.Length; i++)
        {
            Protocol.Check($"{kind}, result {i}", ours[i], stock[i], reference[i]);
            Assert.True(Bits.Same(ours[i], again[i]));
            Assert.True(Bits.Same(restored[i], stock[i]));
        }
    }

    [Fact]
    public void Inference_AndSecondDerivatives_GoOn()
    {
        var layer = nn.Linear(96, 128);
        var x = randn(2, 200, 96);
        using var noGrad = no_grad();
        var stock = layer.call(x);
        using var accelerator = Accelerator.Install();
        Assert.True(layer.call(x).allclose(stock, 1e-4, 1e-5));
        using (inference_mode())
        {
            Assert.True(layer.call(x).allclose(stock, 1e-4, 1e-5));
            Assert.True(layer.call(randn(1, 1, 96)).shape.SequenceEqual([1, 1, 128]));
        }
        using var grad = enable_grad();
        var leaf = randn(200, 200).requires_grad_();
        var first = autograd.grad([leaf.mm(leaf).pow(2).sum()], [leaf], retain_graph: true, create_graph: true)[0];
        first.sum().backward();
        Assert.False(leaf.grad!.isnan().any().item<bool>());
    }

    [Fact]
    public void Installations_EndInAnyOrder()
    {
        var first = Accelerator.Install(AcceleratedOps.Attention);
        var second = Accelerator.Install(AcceleratedOps.Attention | AcceleratedOps.LayerNorm);
        first.Dispose();
        Assert.Equal(AcceleratedOps.Attention | AcceleratedOps.LayerNorm, Accelerator.Installed);
        first.Dispose();
        Assert.Equal(AcceleratedOps.Attention | AcceleratedOps.LayerNorm, Accelerator.Installed);
        second.Dispose();
        Assert.Equal(AcceleratedOps.None, Accelerator.Installed);
        Assert.Throws<ArgumentOutOfRangeException>(() => Accelerator.Install((AcceleratedOps)64));
    }

    [Fact]
    public void OnlyTheGroupsAskedFor_AreTakenOver()
    {
        using var accelerator = Accelerator.Install(AcceleratedOps.LayerNorm);
        using var events = new AcceleratedCheck.Events();
        gelu(layer_norm(randn(300, 300), [300])).mm(randn(300, 300)).Dispose();
        Assert.Equal(["native_layer_norm:cpu"], events.Ran);
    }

    [Fact]
    public void ManyThreads_InstallAndDispose()
    {
        Parallel.For(0, 64, _ => Accelerator.Install().Dispose());
        Assert.Equal(AcceleratedOps.None, Accelerator.Installed);
    }

    [Fact]
    public async Task InstallAndDispose_WhileOtherThreadsCompute()
    {
        var x = randn(40, 40);
        using var ending = new CancellationTokenSource();
        var workers = Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
        {
            using var noGrad = no_grad();
            while (!ending.IsCancellationRequested)
            {
                using var scope = NewDisposeScope();
                silu(gelu(layer_norm(x.mm(x), [40])));
            }
        })).ToArray();
        for (int i = 0; i < 2000; i++)
        {
            Accelerator.Install().Dispose();
        }
        await ending.CancelAsync();
        await Task.WhenAll(workers);
        Assert.Equal(AcceleratedOps.None, Accelerator.Installed);
    }

    [Fact]
    public void ManyThreads_GetTheSameBits()
    {
        var (a, b) = (randn(150, 200), randn(200, 170));
        using var accelerator = Accelerator.Install();
        var expected = a.mm(b);
        Parallel.For(0, 200, new ParallelOptions { MaxDegreeOfParallelism = 4 }, _ =>
        {
            using var scope = NewDisposeScope();
            Assert.True(Bits.Same(a.mm(b), expected));
        });
    }

    private static (nn.Module Model, Func<Tensor, Tensor> Forward) Create(string kind)
    {
        switch (kind)
        {
            case "encoder layer":
                var layer = nn.TransformerEncoderLayer(96, 4, 384, 0.0, nn.Activations.GELU);
                return (layer, x => layer.call(x, null!, null!));
            case "multi-head attention":
                var attention = nn.MultiheadAttention(96, 4);
                return (attention, x => attention.call(x, x, x, null, false, null).Item1);
            default:
                var vit = new SmallVisionTransformer();
                return (vit, x => vit.call(x));
        }
    }

    /// <summary>Pre-norm blocks of stock modules and scaled_dot_product_attention.</summary>
    private sealed class SmallVisionTransformer : nn.Module<Tensor, Tensor>
    {
        private const long C = 96, H = 4;
        private readonly TorchSharp.Modules.LayerNorm _norm1 = nn.LayerNorm(C), _norm2 = nn.LayerNorm(C);
        private readonly TorchSharp.Modules.Linear _qkv = nn.Linear(C, 3 * C), _proj = nn.Linear(C, C), _fc1 = nn.Linear(C, 4 * C), _fc2 = nn.Linear(4 * C, C);

        public SmallVisionTransformer() : base(nameof(SmallVisionTransformer)) => RegisterComponents();

        public override Tensor forward(Tensor x)
        {
            x = x.transpose(0, 1); // [N, B, C] → [B, N, C]
            for (int block = 0; block < 2; block++)
            {
                var parts = _qkv.call(_norm1.call(x)).view(x.shape[0], x.shape[1], 3, H, C / H).permute(2, 0, 3, 1, 4).unbind(0);
                x = x + _proj.call(scaled_dot_product_attention(parts[0], parts[1], parts[2]).transpose(1, 2).reshape(x.shape));
                x = x + _fc2.call(gelu(_fc1.call(_norm2.call(x))));
            }
            return x;
        }
    }
}
