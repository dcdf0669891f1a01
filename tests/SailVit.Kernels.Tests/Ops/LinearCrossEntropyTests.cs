using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Ops.LinearCrossEntropy;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Ops;

public class LinearCrossEntropyTests
{
    private const long Ignored = -100;

    private static OpCase Case(string name, Tensor hidden, Tensor weight, Tensor labels, Tensor? weights = null, int seed = 1) => new()
    {
        Name = $"linear_cross_entropy, {name}",
        Inputs = [hidden, weight],
        Ours = t => [functional.linear_cross_entropy(t[0], t[1], labels, weights)],
        Stock = t => [Stock(t[0], t[1], labels, weights)],
        Seed = seed,
    };

    private static Tensor Stock(Tensor hidden, Tensor weight, Tensor labels, Tensor? weights)
    {
        var counted = labels.ne(Ignored).to(float32);
        var w = weights is null ? counted : weights * counted;
        // The loss is float32 in ours: stock's own softmax in 16 bits would be no bar.
        var logits = F.linear(hidden, weight);
        var losses = F.cross_entropy(logits.dtype == float64 ? logits : logits.to(float32), labels, ignore_index: Ignored, reduction: nn.Reduction.None);
        return (losses * w).sum() / w.sum();
    }

    private static Tensor Labels(Generator g, long rows, long classes) =>
        where(rand(rows, generator: g).lt(0.3), full([rows], Ignored, dtype: int64), randint(0, classes, [rows], generator: g, dtype: int64)).index_fill_(0, tensor([0L]), 0);

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void ForwardAndBackward_MatchReference(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(31);
        foreach (long rows in (long[])[1, 17, 64])
        {
            foreach (long classes in (long[])[1, 3, 64, 1000])
            {
                var (hidden, weight) = (randn([rows, 40], generator: g).to(dtype), randn([classes, 40], generator: g).to(dtype) * 0.3);
                OpCheck.Run(Case($"[{rows}, 40] to {classes}", hidden, weight, Labels(g, rows, classes)));
                OpCheck.Run(Case($"weighted, [{rows}, 40] to {classes}", hidden, weight, Labels(g, rows, classes), rand(rows, generator: g) + 0.1));
            }
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32, LinearPath.Own)]
    [InlineData(ScalarType.Float32, LinearPath.LibTorch)]
    [InlineData(ScalarType.BFloat16, LinearPath.LibTorch)]
    public void Chunks_GiveTheSame(ScalarType dtype, LinearPath path)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(32);
        var (hidden, weight, labels) = (randn([70, 8], generator: g).to(dtype), randn([90, 8], generator: g).to(dtype), Labels(g, 70, 90));
        var options = new LinearCrossEntropyOptions(path, LabelRows.Read(labels, null, 70, 90, Ignored, null));
        var whole = LinearCrossEntropyMath.Run(options, hidden, weight, true, true);
        foreach (int rows in (int[])[1, 7, 35, 69])
        {
            var chunked = LinearCrossEntropyMath.Run(options, hidden, weight, true, true, rows * 90L * dtype.ElementSize());
            double eps = dtype == float32 ? 1e-6 : 4e-3;
            Assert.Equal(whole.Loss.item<float>(), chunked.Loss.item<float>(), 1e-5f);
            Assert.True(chunked.Hidden!.allclose(whole.Hidden!, eps, eps), $"hidden, {rows} rows per chunk");
            Assert.True(chunked.Weight!.allclose(whole.Weight!, eps, eps), $"weight, {rows} rows per chunk");
        }
    }

    [Fact]
    public void BothPaths_MatchReference()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(33);
        foreach (var path in (LinearPath[])[LinearPath.Own, LinearPath.LibTorch])
        {
            foreach (var dtype in (ScalarType[])[float32, bfloat16, float16])
            {
                using var forced = LinearDispatch.Use(path);
                OpCheck.Run(Case($"{path} {dtype}", randn([33, 24], generator: g).to(dtype), randn([90, 24], generator: g).to(dtype), Labels(g, 33, 90)));
            }
        }
    }

    [Fact]
    public void OneGradientOnly_AnyLayout()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(34);
        foreach (var layout in Strides.All)
        {
            var c = Case(layout.Name, layout.Apply(randn([19, 24], generator: g)), layout.Apply(randn([50, 24], generator: g)), Labels(g, 19, 50));
            OpCheck.Run(c);
            OpCheck.Run(c with { Differentiable = [true, false] });
            OpCheck.Run(c with { Differentiable = [false, true] });
        }
    }

    [Fact]
    public void LargeLogits_LoseNothing()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(35);
        OpCheck.Run(Case("logits of hundreds", randn([31, 32], generator: g) * 30, randn([70, 32], generator: g) * 5, Labels(g, 31, 70)));
        foreach (float bad in (float[])[float.NaN, float.PositiveInfinity])
        {
            foreach (int place in (int[])[0, 40, 69])
            {
                var weight = zeros(70, 32);
                weight[place, 3] = bad;
                Assert.True(float.IsNaN(functional.linear_cross_entropy(ones(2, 32), weight, tensor([1L, 2L])).item<float>()));
            }
        }
    }

    [Fact]
    public void NothingToLearn_IsZero()
    {
        using var scope = NewDisposeScope();
        var (hidden, weight) = (randn([3, 4]).requires_grad_(), randn([5, 4]).requires_grad_());
        var loss = functional.linear_cross_entropy(hidden, weight, full([3], Ignored, dtype: int64));
        loss.backward();
        Assert.Equal(0, loss.item<float>());
        Assert.Equal(0, hidden.grad!.abs().max().item<float>());
        Assert.Equal(0, weight.grad!.abs().max().item<float>());
        Assert.Equal(0, functional.linear_cross_entropy(empty(0, 4), weight, empty([0], int64)).item<float>());
    }

    [Fact]
    public void Normalizer_ReplacesTheSumOfWeights()
    {
        using var scope = NewDisposeScope();
        var (hidden, weight, labels) = (randn(6, 4), randn(5, 4), tensor([0L, 1, 2, 3, 4, Ignored]));
        float mean = functional.linear_cross_entropy(hidden, weight, labels).item<float>();
        Assert.Equal(mean * 5 / 8, functional.linear_cross_entropy(hidden, weight, labels, normalizer: 8).item<float>(), 1e-5f);
    }

    [Fact]
    public void ScaledAndRepeatedBackward()
    {
        using var scope = NewDisposeScope();
        var (hidden, weight, labels) = (randn([6, 4]).requires_grad_(), randn([5, 4]).requires_grad_(), tensor([0L, 1, 2, 3, 4, 0]));
        var loss = functional.linear_cross_entropy(hidden, weight, labels);
        loss.backward(retain_graph: true);
        var once = weight.grad!.clone();
        loss.backward(retain_graph: true);
        (loss * 3).backward();
        Assert.True(weight.grad!.allclose(once * 5, 1e-5, 1e-7));
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        var (hidden, weight, labels) = (randn(130, 48), randn(700, 48), randint(0, 700, [130], dtype: int64));
        Tensor[] Work()
        {
            var (h, w) = (hidden.detach().requires_grad_(), weight.detach().requires_grad_());
            var loss = functional.linear_cross_entropy(h, w, labels);
            loss.backward();
            return [loss.detach(), h.grad!, w.grad!];
        }
        Determinism.Check("linear_cross_entropy", Work);
        Determinism.CheckThreads("linear_cross_entropy", Work);
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        void Fails(string part, Action call) => Assert.Contains(part, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);
        var (h, w, labels) = (ones(2, 4), ones(3, 4), tensor([0L, 1L]));
        Fails("labels is 3 at row 1", () => functional.linear_cross_entropy(h, w, tensor([0L, 3L])));
        Fails("labels is -1 at row 0", () => functional.linear_cross_entropy(h, w, tensor([-1L, 0L])));
        Fails("labels has dtype Int32", () => functional.linear_cross_entropy(h, w, tensor([0, 1])));
        Fails("labels has shape [3]", () => functional.linear_cross_entropy(h, w, tensor([0L, 1, 2])));
        Fails("weight has shape [3, 5]", () => functional.linear_cross_entropy(h, ones(3, 5), labels));
        Fails("weight has dtype Float16", () => functional.linear_cross_entropy(h, ones([3, 4], float16), labels));
        Fails("hidden has shape [2, 1, 4]", () => functional.linear_cross_entropy(ones(2, 1, 4), w, labels));
        Fails("weights is -1 at row 1", () => functional.linear_cross_entropy(h, w, labels, tensor([1f, -1f])));
        Fails("weights is NaN at row 0", () => functional.linear_cross_entropy(h, w, labels, tensor([float.NaN, 1f])));
        Fails("requires a gradient", () => functional.linear_cross_entropy(h, w, labels, ones(2).requires_grad_()));
        Fails("normalizer is 0", () => functional.linear_cross_entropy(h, w, labels, normalizer: 0));
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("linear_cross_entropy", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 3_000_000);
        var dtype = random.Pick(float32, bfloat16, float16);
        long rows = random.Next(1, 60), classes = random.Next(2, 300), width = random.Next(1, 80);
        var hidden = random.Pick(Strides.All).Apply(randn([rows, width], generator: g).to(dtype));
        var weight = random.Pick(Strides.All).Apply(randn([classes, width], generator: g).to(dtype));
        var c = Case("random", hidden, weight, Labels(g, rows, classes), random.Chance() ? rand(rows, generator: g) + 0.01 : null, seed);
        OpCheck.Run(c with { Widths = [random.Pick(Cpu.Available)] });
    });
}
