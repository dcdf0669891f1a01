using SailVit.Model.Encoders;
using SailVit.Model.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Encoders;

public sealed class VisionTransformerTests
{
    internal static EncoderConfig Aimv2 { get; } = new()
    {
        Family = EncoderFamily.Aimv2,
        HiddenSize = 32,
        IntermediateSize = 48,
        Layers = 3,
        Heads = 2,
        ImageHeight = 28,
        ImageWidth = 42,
        PatchSize = 7,
        Eps = 1e-5,
        Norm = NormKind.RmsNorm,
        Mlp = MlpKind.SwiGlu,
        PatchNorm = true,
        FinalNorm = true,
    };

    internal static EncoderConfig InternVit { get; } = Aimv2 with
    {
        Family = EncoderFamily.InternVit,
        Norm = NormKind.LayerNorm,
        Mlp = MlpKind.Gelu,
        PatchNorm = false,
        FinalNorm = false,
        QkvBias = true,
        UseBias = true,
        ClassToken = true,
        LayerScale = true,
        QkNorm = true,
    };

    public static TheoryData<string> Families => ["aimv2", "internvit"];

    private static VisionTransformer Make(string family, Func<EncoderConfig, EncoderConfig>? change = null)
    {
        manual_seed(7);
        var config = family == "aimv2" ? Aimv2 : InternVit;
        return new VisionTransformer(change?.Invoke(config) ?? config);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void ParameterCount_IsTheConfigs(string family)
    {
        using var scope = NewDisposeScope();
        using var model = Make(family);
        Assert.Equal(model.Config.ParameterCount, model.parameters().Sum(p => p.numel()));
    }

    [Fact]
    public void Names_AreThoseOfThePublishedModels()
    {
        using var scope = NewDisposeScope();
        using var aimv2 = Make("aimv2");
        var names = aimv2.named_parameters().Select(p => p.name).ToList();
        Assert.Equal(4 + (3 * 7) + 1, names.Count);
        Assert.Contains("preprocessor.patchifier.proj.weight", names);
        Assert.Contains("preprocessor.pos_embed", names);
        Assert.Contains("trunk.blocks.2.norm_1.weight", names);
        Assert.Contains("trunk.blocks.0.mlp.fc3.weight", names);
        Assert.Contains("trunk.post_trunk_norm.weight", names);
        using var internVit = Make("internvit");
        names = [.. internVit.named_parameters().Select(p => p.name)];
        Assert.Contains("embeddings.class_embedding", names);
        Assert.Contains("embeddings.patch_embedding.bias", names);
        Assert.Contains("encoder.layers.1.ls1", names);
        Assert.Contains("encoder.layers.1.attn.q_norm.weight", names);
        Assert.Contains("encoder.layers.2.norm2.bias", names);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void AnotherGrid_ResizesPositions(string family)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var model = Make(family);
        var output = model.call(randn(2, 3, 35, 21));
        Assert.Equal([2L, (5 * 3) + (model.Config.ClassToken ? 1 : 0), 32], output.shape);
        Assert.True(output.isfinite().all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void HiddenStates_CountFromBothEnds(string family)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var model = Make(family);
        int last = model.HiddenStates - 1;
        var output = model.Encode(randn(1, 3, 28, 42), [0, last, -1]);
        Assert.Equal(family == "aimv2" ? 3 : 4, model.HiddenStates);
        Assert.Equal(3, output.Hidden.Count);
        Assert.True(output.Hidden[-1].allclose(output.Hidden[last], 0, 0));
        Assert.False(output.Hidden[0].allclose(output.Hidden[last]));
        Assert.Contains("has", Assert.Throws<ArgumentException>(() => model.Encode(randn(1, 3, 28, 42), [last + 1])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Checkpointing_ChangesNoGradient(string family)
    {
        float[] Gradients(bool checkpointing)
        {
            using var scope = NewDisposeScope();
            using var model = Make(family, c => c with { DropPath = 0.3 });
            model.train();
            model.GradientCheckpointing = checkpointing;
            manual_seed(3);
            var pixels = randn(3, 3, 28, 42);
            var output = model.call(pixels);
            (output * randn_like(output)).sum().backward();
            return [.. model.parameters().SelectMany(p => p.grad!.contiguous().data<float>().ToArray())];
        }
        Assert.Equal(Gradients(false), Gradients(true));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Output_IsTheSameWithAndWithoutAGraph(string family)
    {
        using var scope = NewDisposeScope();
        using var model = Make(family);
        var pixels = randn(2, 3, 28, 42);
        var recorded = model.call(pixels);
        using var off = no_grad();
        Assert.True(model.call(pixels).allclose(recorded, 0, 0));
        model.eval();
        Assert.True(model.call(pixels).allclose(recorded, 0, 0));
    }

    [Fact]
    public void Freeze_StopsExactlyTheNamedParts()
    {
        using var scope = NewDisposeScope();
        using var model = Make("internvit", c => c with { FinalNorm = true });
        model.Freeze(EncoderPart.All);
        Assert.DoesNotContain(model.parameters(), p => p.requires_grad);
        model.Unfreeze(EncoderPart.Positions, 2..);
        var trainable = model.named_parameters().Where(p => p.parameter.requires_grad).Select(p => p.name).ToList();
        Assert.Contains("embeddings.position_embedding", trainable);
        Assert.All(trainable, n => Assert.True(n == "embeddings.position_embedding" || n.StartsWith("encoder.layers.2.", StringComparison.Ordinal), n));
        Assert.Contains("encoder.layers.2.ls1", trainable);
        model.call(randn(1, 3, 28, 42)).sum().backward();
        Assert.All(model.named_parameters(), p => Assert.Equal(p.parameter.requires_grad, p.parameter.grad is not null));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Bfloat16_IsCloseToFloat32(string family)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var model = Make(family);
        var pixels = randn(1, 3, 28, 42);
        var exact = model.call(pixels);
        model.to(bfloat16);
        var rounded = model.call(pixels.to(bfloat16));
        Assert.Equal(bfloat16, rounded.dtype);
        Assert.InRange(((rounded.to(float32) - exact).norm() / exact.norm()).item<float>(), 1e-5, 0.05);
    }

    [Fact]
    public void Bytes_AreNormalisedOnTheWay()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var model = Make("aimv2");
        var bytes = randint(0, 256, [2, 3, 28, 42], dtype: uint8);
        var mean = tensor(ImageTransform.Mean.ToArray()).reshape(1, 3, 1, 1);
        var std = tensor(ImageTransform.Std.ToArray()).reshape(1, 3, 1, 1);
        var expected = model.call(((bytes.to(float32) / 255) - mean) / std);
        Assert.True(model.call(bytes).allclose(expected, 1e-4, 1e-5));
    }

    [Theory]
    [InlineData(new long[] { 3, 28, 42 })]
    [InlineData(new long[] { 1, 4, 28, 42 })]
    [InlineData(new long[] { 1, 3, 27, 42 })]
    [InlineData(new long[] { 1, 3, 0, 42 })]
    public void WrongPixels_AreRefused(long[] shape)
    {
        using var scope = NewDisposeScope();
        using var model = Make("aimv2");
        var e = Assert.Throws<ArgumentException>(() => model.call(ones(shape)));
        Assert.Contains("pixels", e.Message, StringComparison.Ordinal);
    }
}
