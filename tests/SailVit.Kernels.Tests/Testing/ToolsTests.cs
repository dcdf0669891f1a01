using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Testing;

public sealed unsafe class ToolsTests
{
    [Fact]
    public void Canary_FindsWritesOutside()
    {
        using var canary = new Canary(10, ScalarType.Float32, misalignment: 4);
        canary.CheckGuards("untouched");
        var p = (float*)canary.Pointer;
        p[10] = 1;
        Assert.Contains("after the last", Throws(() => canary.CheckGuards("overrun")), StringComparison.Ordinal);
        using var other = new Canary(10, ScalarType.BFloat16);
        ((ushort*)other.Pointer)[-1] = 0;
        Assert.Contains("2 bytes before", Throws(() => other.CheckGuards("underrun")), StringComparison.Ordinal);
    }

    [Fact]
    public void Canary_FindsUnwrittenElements()
    {
        using var canary = new Canary(10, ScalarType.Float16);
        var p = (Half*)canary.Pointer;
        for (int i = 0; i < 9; i++)
        {
            p[i] = (Half)i;
        }
        Assert.Contains("element 9 of 10", Throws(() => canary.Check("short")), StringComparison.Ordinal);
        p[9] = Half.NaN;
        canary.Check("complete, with a computed NaN");
        using var scope = NewDisposeScope();
        Assert.Equal([2, 5], canary.ToTensor(2, 5).shape);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(1000)]
    [InlineData(3_000_000)]
    public void FreshMemory_HoldsNothingPlausible(long count)
    {
        Assert.SkipUnless(PoisonedMemory.Active, "This C library cannot fill the memory that it hands out.");
        using var scope = NewDisposeScope();
        ones(count).Dispose();
        Assert.True((empty(count, dtype: float32).abs() > 1e38).all().item<bool>());
        Assert.True(empty(count, dtype: float16).isnan().all().item<bool>());
    }

    [Fact]
    public void Layouts_KeepValues()
    {
        using var scope = NewDisposeScope();
        foreach (var t in (Tensor[])[randn(2, 3, 1, 5), randn(7), randn(1, 1), arange(12).reshape(3, 4)])
        {
            foreach (var layout in Strides.All)
            {
                Assert.True(Bits.Same(layout.Apply(t), t), layout.Name);
            }
        }
        Assert.Equal([0L, 1L], Strides.Expanded(randn(3, 4)).stride());
        Assert.True(Strides.AbsurdSizeOne(randn(1, 4)).stride()[0] > 1_000_000);
        Assert.Equal(1, Strides.Offset(randn(8), 1).storage_offset());
    }

    [Fact]
    public void AdversarialValues_AreWhatTheySay()
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(3);
        foreach (var values in Adversarial.Finite)
        {
            Assert.True(values.Make([5, 8], generator).isfinite().all().item<bool>(), values.Name);
        }
        foreach (var values in Adversarial.NonFinite)
        {
            var rows = values.Make([5, 8], generator).isfinite().all(1);
            Assert.False(rows[2].item<bool>(), values.Name);
            Assert.Equal(4, rows.sum().item<long>());
        }
    }

    [Fact]
    public void Determinism_FindsADifferentRun()
    {
        using var scope = NewDisposeScope();
        int run = 0;
        Assert.Contains("run 3", Throws(() => Determinism.Check("planted", () => [full([4], run++ == 3 ? 1.0000001f : 1f)], 5)), StringComparison.Ordinal);
        Determinism.Check("constant", () => [full([4], float.NaN)], 5);
        int threads = get_num_threads();
        Throws(() => Determinism.CheckThreads("planted", () => [full([1], get_num_threads())]));
        Assert.Equal(threads, get_num_threads());
    }

    [Fact]
    public void RandomConfigs_PrintTheSeed()
    {
        var message = Throws(() => RandomConfigs.Run("planted", (_, seed) => Assert.NotEqual(3, seed)));
        Assert.Contains("SAILVIT_FUZZ_SEED=3", message, StringComparison.Ordinal);
        var all = Throws(() => RandomConfigs.Run("planted", (_, seed) => Assert.NotEqual(1, seed % 2)));
        Assert.Contains("SAILVIT_FUZZ_SEED=1 ", all, StringComparison.Ordinal);
        Assert.Contains("SAILVIT_FUZZ_SEED=39 ", all, StringComparison.Ordinal);
        Assert.DoesNotContain("SAILVIT_FUZZ_SEED=41 ", all, StringComparison.Ordinal);
        var first = new List<int>();
        RandomConfigs.Run("a", (r, _) => first.Add(r.Next()));
        Assert.Equal(RandomConfigs.Count, first.Distinct().Count());
    }

    [Fact]
    public void RandomConfigs_HoldThePooledMeanToTheFactor()
    {
        // 1.4 × the error of stock in every configuration: each passes for itself, the pool does not.
        static void Run(double factor) => RandomConfigs.Run("planted", (_, seed) =>
        {
            using var scope = NewDisposeScope();
            using var generator = new Generator((ulong)seed);
            var exact = randn([8, 4], generator: generator);
            OpCheck.Run(new OpCase
            {
                Name = "planted",
                Inputs = [exact, 1e-3 * randn([8, 4], generator: generator)],
                Ours = t => [t[0] + factor * t[1]],
                Stock = t => [t[0] + t[1]],
                Reference = t => [t[0].clone()],
                Differentiable = [],
                Widths = [Kernels.Backends.Cpu.Cpu.Width],
            });
        });
        Run(1.2);
        Assert.Contains("1.40 × that of stock", Throws(() => Run(1.4)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1.0, 1.1920928955078125e-7)]
    [InlineData(ScalarType.Float32, 0.0, 1.401298464324817e-45)]
    [InlineData(ScalarType.BFloat16, 3.9, 0.015625)]
    [InlineData(ScalarType.Float16, 2048.0, 2.0)]
    [InlineData(ScalarType.Float16, 1e-7, 5.9604644775390625e-8)]
    public void Ulp_IsTheSpacing(ScalarType dtype, double value, double ulp) => Assert.Equal(ulp, Bits.Ulp(value, dtype));

    [Fact]
    public void BitwiseComparison_SeesWhatEqualityHides()
    {
        using var scope = NewDisposeScope();
        Assert.False(Bits.Same(zeros(3), -zeros(3)));
        Assert.True(Bits.Same(full([3], float.NaN), full([3], float.NaN)));
        Assert.Contains("element 2", Bits.FirstDifference(tensor(new float[] { 1, 2, 3 }), tensor(new float[] { 1, 2, 4 })), StringComparison.Ordinal);
    }

    private static string Throws(Action action) => Assert.Throws<ProtocolException>(action).Message;
}
