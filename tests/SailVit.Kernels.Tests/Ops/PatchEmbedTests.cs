using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace SailVit.Kernels.Tests.Ops;

public class PatchEmbedTests
{
    private static readonly float[] Mean = [0.48f, 0.46f, 0.41f], Std = [0.27f, 0.26f, 0.28f];

    private sealed record Options(PatchNorm Norm = PatchNorm.None, bool Normalise = false);

    private static readonly LinearPath[] Paths = [LinearPath.Own, LinearPath.LibTorch];

    // Inputs: pixels, weight, bias, norm weight, norm bias, position, class token.
    private static Tensor Ours(Options o, Tensor[] t) => functional.patch_embed(
        t[0], t[1], t[2], t[3], t[4], o.Norm, 1e-5, t[5], t[6], o.Normalise ? Mean : null, o.Normalise ? Std : null);

    private static Tensor Stock(Options o, Tensor[] t)
    {
        var (x, weight) = (t[0].to(t[1].dtype), t[1]);
        if (o.Normalise)
        {
            x = ((t[0].dtype == uint8 ? x / 255 : x) - tensor(Mean).reshape(1, 3, 1, 1).to(x.dtype)) / tensor(Std).reshape(1, 3, 1, 1).to(x.dtype);
        }
        else if (t[0].dtype == uint8)
        {
            x /= 255;
        }
        var y = F.conv2d(x, weight, t[2], strides: [weight.shape[2], weight.shape[3]]).flatten(2).transpose(1, 2);
        y = o.Norm switch
        {
            PatchNorm.RmsNorm => Rms(y, t[3]),
            PatchNorm.LayerNorm => F.layer_norm(y, [y.shape[^1]], t[3], t[4]),
            _ => y,
        };
        if (t[6] is not null)
        {
            y = cat([t[6].reshape(1, 1, -1).expand(y.shape[0], 1, -1), y], 1);
        }
        return t[5] is null ? y : y + t[5];
    }

    private static Tensor Rms(Tensor y, Tensor? weight)
    {
        var wide = y.dtype == float64 ? y : y.to(float32);
        var n = wide * rsqrt((wide * wide).mean([-1], keepdim: true) + 1e-5);
        return (weight is null ? n : n * weight.to(wide.dtype)).to(y.dtype);
    }

    private static OpCase Case(string name, Options o, Tensor?[] inputs, int seed = 1) => new()
    {
        Name = $"patch_embed, {name}",
        Inputs = inputs,
        Ours = t => [Ours(o, t)],
        Stock = t => [Stock(o, t)],
        Seed = seed,
    };

    private sealed record Shape(long Batch, long Rows, long Columns, long Patch, long Width, long Channels = 3);

    private static Tensor?[] Inputs(Shape s, Options o, ScalarType dtype, Generator g, bool position = true, bool cls = false, bool bytes = false)
    {
        long[] pixels = [s.Batch, s.Channels, s.Rows * s.Patch, s.Columns * s.Patch];
        long depth = s.Channels * s.Patch * s.Patch;
        Tensor Make(params long[] shape) => randn(shape, generator: g).to(dtype);
        return
        [
            bytes ? randint(0, 256, pixels, generator: g).to(uint8) : Make(pixels),
            (randn([s.Width, s.Channels, s.Patch, s.Patch], generator: g) / Math.Sqrt(depth)).to(dtype),
            Make(s.Width),
            o.Norm == PatchNorm.None ? null : Make(s.Width),
            o.Norm == PatchNorm.LayerNorm ? Make(s.Width) : null,
            position ? Make(1, (s.Rows * s.Columns) + (cls ? 1 : 0), s.Width) : null,
            cls ? Make(1, 1, s.Width) : null,
        ];
    }

    public static TheoryData<PatchNorm, ScalarType> NormsAndTypes
    {
        get
        {
            var data = new TheoryData<PatchNorm, ScalarType>();
            foreach (var norm in Enum.GetValues<PatchNorm>())
            {
                data.Add(norm, float32);
                data.Add(norm, bfloat16);
                data.Add(norm, float16);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(NormsAndTypes))]
    public void ForwardAndBackward_MatchReference(PatchNorm norm, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(51);
        var o = new Options(norm);
        foreach (var s in (Shape[])[new(2, 3, 5, 14, 96), new(1, 4, 4, 16, 130), new(3, 1, 7, 1, 20), new(1, 5, 2, 7, 64), new(2, 2, 3, 20, 48)])
        {
            foreach (var path in Paths)
            {
                using var forced = LinearDispatch.Use(path);
                foreach (bool cls in (bool[])[false, true])
                {
                    OpCheck.Run(Case($"{s} {norm}, class token {cls}, {path}", o, Inputs(s, o, dtype, g, cls: cls)));
                }
            }
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Bytes_AreNormalisedOnTheWay(ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(52);
        foreach (var (normalise, path) in from n in (bool[])[false, true] from p in Paths select (n, p))
        {
            using var forced = LinearDispatch.Use(path);
            var o = new Options(PatchNorm.RmsNorm, normalise);
            // The 16-bit composition rounds the pixels before the product; ours does not.
            var inputs = Inputs(new(2, 3, 3, 14, 64), o, dtype, g, bytes: true);
            OpCheck.Run(Case($"uint8, normalised {normalise}", o, inputs));
        }
        var floats = new Options(PatchNorm.None, Normalise: true);
        OpCheck.Run(Case("float pixels with mean and std", floats, Inputs(new(1, 2, 3, 14, 64), floats, dtype, g)));
    }

    [Fact]
    public void AnyLayout_OfPixelsAndGradients()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(53);
        var o = new Options(PatchNorm.LayerNorm);
        foreach (var layout in Strides.All)
        {
            foreach (var (bytes, path) in from b in (bool[])[false, true] from p in Paths select (b, p))
            {
                using var forced = LinearDispatch.Use(path);
                var inputs = Inputs(new(2, 2, 3, 14, 40), o, float32, g, cls: true, bytes: bytes);
                inputs[0] = layout.Apply(inputs[0]!);
                inputs[1] = layout.Apply(inputs[1]!);
                inputs[5] = layout.Apply(inputs[5]!);
                OpCheck.Run(Case(layout.Name, o, inputs) with { GradLayout = layout.Apply });
            }
        }
        var plain = new Options();
        OpCheck.Run(Case("expanded gradient", plain, Inputs(new(3, 2, 2, 4, 40), plain, float32, g)) with { GradLayout = Strides.Expanded });
    }

    [Theory]
    [InlineData(LinearPath.Own)]
    [InlineData(LinearPath.LibTorch)]
    public void OptionalInputs_MayBeAbsent_AndGradientsGoWhereWanted(LinearPath path)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(54);
        var o = new Options(PatchNorm.RmsNorm);
        using var forced = LinearDispatch.Use(path);
        for (int absent = 2; absent < 7; absent++)
        {
            var inputs = Inputs(new(2, 2, 2, 4, 33), o, float32, g, position: absent != 5, cls: absent != 6);
            inputs[absent] = null;
            OpCheck.Run(Case($"without input {absent}", o, inputs));
        }
        for (int only = 0; only < 7; only++)
        {
            var inputs = Inputs(new(2, 2, 2, 4, 33), o, float32, g, cls: true);
            var wanted = new bool[7];
            wanted[only] = inputs[only] is not null;
            OpCheck.Run(Case($"gradient of input {only} only", o, inputs) with { Differentiable = wanted.Contains(true) ? wanted : [] });
        }
    }

    [Fact]
    public void Gradients_PassCentralDifferences()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(55);
        var o = new Options(PatchNorm.LayerNorm);
        Tensor[] inputs = [.. Inputs(new(2, 2, 1, 2, 7), o, float32, g, cls: true).OfType<Tensor>()];
        GradCheck.Run("patch_embed", t => Ours(o, t), t => Stock(o, t), inputs);
    }

    [Fact]
    public void NaNPixels_StayInTheirPatch()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(56);
        var o = new Options();
        var inputs = Inputs(new(2, 3, 3, 14, 64), o, float32, g);
        inputs[0]![1, 2, 20, 30] = float.NaN;
        var y = Ours(o, inputs!);
        var rows = y.isnan().any(-1);
        Assert.Equal(1, rows.sum().ToInt32());
        Assert.True(rows[1, 5].item<bool>());
    }

    [Fact]
    public void Results_DoNotDependOnRunOrThreads()
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(57);
        var o = new Options(PatchNorm.RmsNorm);
        var inputs = Inputs(new(2, 5, 9, 7, 100), o, float32, g, cls: true);
        var dy = randn([2, 46, 100], generator: g);
        Tensor[] Work()
        {
            var leaves = Array.ConvertAll(inputs, t => t?.detach().requires_grad_());
            var y = Ours(o, leaves!);
            y.backward([dy]);
            return [y.detach(), .. leaves.OfType<Tensor>().Select(l => l.grad!)];
        }
        Determinism.Check("patch_embed", Work);
        Determinism.CheckThreads("patch_embed", Work);
    }

    [Fact]
    public void BadArguments_AreNamed()
    {
        using var scope = NewDisposeScope();
        var (x, w) = (randn(1, 3, 28, 28), randn(8, 3, 14, 14));
        void Fails(string part, Action call) => Assert.Contains(part, Assert.ThrowsAny<ArgumentException>(call).Message, StringComparison.Ordinal);
        Fails("pixels", () => functional.patch_embed(null!, w));
        Fails("pixels is 27 × 28 px", () => functional.patch_embed(randn(1, 3, 27, 28), w));
        Fails("pixels is 0 × 28 px", () => functional.patch_embed(randn(1, 3, 0, 28), w));
        Fails("pixels has 1 channels", () => functional.patch_embed(randn(1, 1, 28, 28), w));
        Fails("pixels has shape [3, 28, 28]", () => functional.patch_embed(randn(3, 28, 28), w));
        Fails("pixels has dtype Int64", () => functional.patch_embed(x.to(int64), w));
        Fails("weight has dtype Float64", () => functional.patch_embed(x, w.to(float64)));
        Fails("bias has shape [7]", () => functional.patch_embed(x, w, ones(7)));
        Fails("norm_weight is given", () => functional.patch_embed(x, w, null, ones(8)));
        Fails("only LayerNorm has a bias", () => functional.patch_embed(x, w, null, null, ones(8), PatchNorm.RmsNorm));
        Fails("position has shape [5, 8]; it must be [4, 8]", () => functional.patch_embed(x, w, position: ones(5, 8)));
        Fails("position has shape [1, 4, 8]; it must be [5, 8]", () => functional.patch_embed(x, w, position: ones(1, 4, 8), cls_token: ones(8)));
        Fails("cls_token has shape [7]", () => functional.patch_embed(x, w, cls_token: ones(7)));
        Fails("mean has 2 values", () => functional.patch_embed(x, w, mean: [0, 0]));
        Fails("std is 0 for channel 1", () => functional.patch_embed(x, w, std: [1, 0, 1]));
        Fails("eps is -1", () => functional.patch_embed(x, w, norm: PatchNorm.RmsNorm, eps: -1));
        foreach (var path in Paths)
        {
            using var forced = LinearDispatch.Use(path);
            var empty = functional.patch_embed(randn(0, 3, 28, 28), w.detach().requires_grad_(), ones(8), cls_token: ones(8));
            Assert.Equal([0, 5, 8], empty.shape);
        }
    }

    [Fact]
    public void RandomConfigurations_MatchReference() => RandomConfigs.Run("patch_embed", (random, seed) =>
    {
        using var scope = NewDisposeScope();
        using var g = new Generator((ulong)seed + 1_000_000);
        var o = new Options(random.Pick(Enum.GetValues<PatchNorm>()), random.Chance());
        using var forced = LinearDispatch.Use(random.Pick(Paths));
        var s = new Shape(random.Next(1, 4), random.Next(1, 6), random.Next(1, 6), random.Next(1, 18), random.Next(8, 150));
        var dtype = random.Pick(float32, bfloat16, float16);
        var inputs = Inputs(s, o, dtype, g, random.Chance(0.7), random.Chance(0.3), random.Chance(0.3));
        inputs[0] = random.Pick(Strides.All).Apply(inputs[0]!);
        OpCheck.Run(Case($"{s} {o} {dtype}", o, inputs, seed) with
        {
            GradLayout = random.Pick(Strides.All).Apply,
            Widths = [random.Pick(Cpu.Available)],
        });
    });
}
