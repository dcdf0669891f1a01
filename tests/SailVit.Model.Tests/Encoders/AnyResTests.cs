using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Images;
using SailVit.Model.Multimodal;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Encoders;

public sealed class AnyResTests
{
    private static VisionTransformer Encoder(string golden)
    {
        var folder = TestData.Golden(golden);
        var model = new VisionTransformer(ConfigFile.Read(folder));
        CheckpointLoader.Load(model, folder, model.Config.Family);
        model.eval();
        return model;
    }

    private static void AssertClose(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.shape, actual.shape);
        Assert.InRange(((expected - actual).norm() / expected.norm()).item<float>(), 0, 2e-6f);
    }

    private static Tensor Image(Generator g, long height, long width) => randint(0, 256, [3, height, width], dtype: ScalarType.Byte, generator: g);

    [Theory]
    [InlineData("aimv2_small")]
    [InlineData("internvit_small")]
    public void EachImageOfAPack_IsAsAlone_AndAsTheOrdinaryPath(string golden)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var g = new Generator(61);
        using var model = Encoder(golden);
        var (native, other) = (Image(g, 56, 56), Image(g, 28, 98));
        var pack = model.EncodePacked([native, other, native], hidden: [1]);
        long n = model.Config.Tokens;
        int extra = model.Config.ClassToken ? 1 : 0;
        Assert.Equal([0, n, n + extra + 14, (2 * n) + extra + 14], pack.CuSeqlens);
        for (int i = 0; i < 3; i++)
        {
            var image = i == 1 ? other : native;
            Tensor Own(Tensor tokens) => tokens.narrow(1, pack.CuSeqlens[i], pack.CuSeqlens[i + 1] - pack.CuSeqlens[i]);
            var ordinary = model.Encode(image.unsqueeze(0), [1]);
            AssertClose(ordinary.Last, Own(pack.Output.Last));
            AssertClose(ordinary.Hidden[1], Own(pack.Output.Hidden[1]));
            AssertClose(model.EncodePacked([image]).Output.Last, Own(pack.Output.Last));
        }
    }

    /// <summary>The same bits as among all blocks, forward and backward, though those behind could not be run.</summary>
    [Theory]
    [InlineData("aimv2_small", 0, 1)]
    [InlineData("aimv2_small", -2, null)]
    [InlineData("internvit_small", 0, 0)]
    [InlineData("internvit_small", 1, 1)]
    public void UpToAState_BlocksBehindAreNotRun(string golden, int index, int? blocks)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(65);
        using var model = Encoder(golden);
        Tensor[] images = [Image(g, 56, 28), Image(g, 28, 28)];
        Dictionary<string, Tensor> Gradients(Tensor state)
        {
            state.square().sum().backward();
            var gradients = model.named_parameters().Where(p => p.parameter.grad is not null).ToDictionary(p => p.name, p => p.parameter.grad!.clone());
            model.zero_grad();
            return gradients;
        }
        var expected = model.EncodePacked(images, hidden: [index]).Output.Hidden[index];
        var expectedGradients = Gradients(expected);
        foreach (var (name, parameter) in model.named_parameters().Where(p => Block(p.name) >= (blocks ?? model.Config.Layers - 1)))
        {
            parameter.Dispose();
        }
        var actual = model.EncodePackedUpTo(images, index).Output.Last;
        Assert.True(TestData.Same(expected, actual));
        actual.square().sum().backward();
        Assert.All(expectedGradients, e => Assert.True(TestData.Same(e.Value, model.named_parameters().Single(p => p.name == e.Key).parameter.grad!)));
        using (no_grad())
        {
            Assert.True(TestData.Same(expected, model.EncodePackedUpTo(images, index).Output.Last));
            Assert.ThrowsAny<Exception>(() => model.EncodePacked(images, hidden: [index]));
        }

        static int Block(string name) => name.Split('.') is [.., var part] parts && parts.FirstOrDefault(p => int.TryParse(p, out _)) is { } number ? int.Parse(number, System.Globalization.CultureInfo.InvariantCulture) : -1;
    }

    [Theory]
    [InlineData(PositionMode.Bicubic, false)]
    [InlineData(PositionMode.AxialRotary, false)]
    [InlineData(PositionMode.AxialRotary, true)]
    public void Gradients_ReachEveryParameterThatIsUsed(PositionMode mode, bool checkpointing)
    {
        using var scope = NewDisposeScope();
        using var g = new Generator(62);
        using var model = Encoder("aimv2_small");
        model.train();
        model.GradientCheckpointing = checkpointing;
        model.EncodePacked([Image(g, 56, 28), Image(g, 28, 28)], mode).Output.Last.sum().backward();
        Assert.All(model.named_parameters(), p => Assert.True(
            p.name.EndsWith("pos_embed", StringComparison.Ordinal) && mode == PositionMode.AxialRotary ? p.parameter.grad is null : p.parameter.grad!.abs().sum().item<float>() > 0, p.name));
    }

    [Fact]
    public void Modes_DifferAwayFromTheLearnedGridOnly()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var g = new Generator(63);
        using var model = Encoder("aimv2_small");
        Tensor Last(Tensor image, PositionMode mode) => model.EncodePacked([image], mode).Output.Last;
        var (native, other) = (Image(g, 56, 56), Image(g, 84, 28));
        Assert.True(TestData.Same(Last(native, PositionMode.Bicubic), Last(native, PositionMode.Bilinear)));
        Assert.False(TestData.Same(Last(other, PositionMode.Bicubic), Last(other, PositionMode.Bilinear)));
        // Turned positions tell places apart: an image and its mirror image differ in more than the order of tokens.
        var rotary = Last(other, PositionMode.AxialRotary);
        Assert.False(TestData.Same(rotary, Last(other, PositionMode.Bicubic)));
        Assert.True((rotary.flip(1) - Last(other.flip(1), PositionMode.AxialRotary)).abs().max().item<float>() > 1e-3);
    }

    [Fact]
    public void MultimodalModel_TakesImagesOfAnySize()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var g = new Generator(64);
        using var model = MultimodalModel.Load(TestData.Golden("sailvl_qwen3_small"));
        var (native, other) = (Image(g, 56, 56), Image(g, 28, 112));
        var together = model.EncodeImages([native, other]);
        Assert.Equal([4 + 4, 96], together.shape);
        AssertClose(model.EncodeImages(native.unsqueeze(0)), together.narrow(0, 0, 4));
        AssertClose(model.EncodeImages(other.unsqueeze(0)), together.narrow(0, 4, 4));
        int[] ids = [1, .. Enumerable.Repeat(511, 8), 2];
        Assert.Equal(3, model.Generate([new(ids, Images: [native, other])], new() { MaxNewTokens = 3 })[0].Ids.Count);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(-3)]
    [InlineData(0)]
    public void MultimodalModel_SeesTheSelectedState(int select)
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        using var g = new Generator(66);
        using var golden = MultimodalModel.Load(TestData.Golden("sailvl_qwen3_small"));
        using var model = new MultimodalModel(golden.Config with { SelectLayer = select });
        var image = Image(g, 56, 56);
        AssertClose(model.EncodeImages(image.unsqueeze(0)), model.EncodeImages([image]));
    }

    [Theory]
    [InlineData(448, 448, 448, 448)]
    [InlineData(1, 1, 28, 28)]
    [InlineData(50, 50, 56, 56)]
    [InlineData(43, 28, 28, 56)]
    [InlineData(1792, 1792, 1792, 1792)]
    [InlineData(3580, 2260, 1400, 2240)]
    [InlineData(100_000, 10, 28, 99_988)]
    public void Sizes_AreWholeMergedPatchesWithinTheLimit(int width, int height, int fitHeight, int fitWidth)
    {
        var fit = AnyResSize.Fit(width, height, 28, (long)VisionTransformer.MaxPatches * 14 * 14);
        Assert.Equal((fitHeight, fitWidth), fit);
        Assert.InRange((long)fit.Height * fit.Width / 196, 1, VisionTransformer.MaxPatches);
    }

    [Fact]
    public void WhatDoesNotFit_IsAnError()
    {
        using var scope = NewDisposeScope();
        using var model = Encoder("aimv2_small");
        void Fails(string part, params Tensor[] images) => Assert.Contains(part, Assert.Throws<ArgumentException>(() => model.EncodePacked(images)).Message, StringComparison.Ordinal);
        Fails("there is no image");
        Fails("multiples of the patch size 14", zeros([3, 28, 30], dtype: ScalarType.Byte));
        Fails("at most 16,384", zeros([3, 14, 14 * 16_385], dtype: ScalarType.Byte));
    }
}
