using SailVit.Model.Data;
using SailVit.Model.Encoders;
using SailVit.Model.Images;
using SailVit.Model.Multimodal;
using SailVit.Model.Refinement;
using TorchSharp;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;
using static TorchSharp.torch;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Tests.Data;

/// <summary>Training on images at their own size, where the model's config says so.</summary>
public sealed class AnyResBatchTests : IDisposable
{
    // a.jpg is one merged patch of 28 px, b.jpg three.
    private static readonly SampleEncoder Native = new(new(Tokenizer, 1), new AnyResSize(28, 28 * 28 * 12));

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private MultimodalModel Model(PositionMode mode)
    {
        var config = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(TestData.Golden("sailvl_qwen3_small", "config.json")))!;
        config["any_res_positions"] = mode == PositionMode.AxialRotary ? "axial_rotary" : "bilinear";
        _folder.Write("config.json", config.ToJsonString());
        File.Copy(TestData.Golden("sailvl_qwen3_small", "model.safetensors"), _folder.File("model.safetensors"));
        return MultimodalModel.Load(_folder.Path);
    }

    [Theory]
    [InlineData(PositionMode.Bilinear)]
    [InlineData(PositionMode.AxialRotary)]
    public void GradientsOfABatchAreThoseOfItsImagesOneByOne(PositionMode mode)
    {
        using var scope = NewDisposeScope();
        using var model = Model(mode);
        Assert.Equal(mode, model.Config.AnyRes);
        using var source = new JsonlSource(WriteMixed(_folder, 8));
        using var loader = new PackedLoader([new(source)], new SampleEncoder(new(Tokenizer, model.Config.TokensPerCount), model.Config.Split(6)), new() { MaxTokens = 1024, MaxTiles = 64, Samples = 8 });
        using var batch = loader.Next()!;
        Assert.True(batch.Images.Select(image => string.Join('x', image.shape)).Distinct().Count() > 1);
        var together = Gradients(model.Loss(batch));

        // Every image in a pass of its own, then the same loss.
        var images = cat(batch.Images.Select(image => model.EncodeImages([image], mode)).ToList(), 0);
        var hidden = model.Language.Hidden(model.Embed(batch.Ids, images), batch.Layout);
        long n = hidden.shape[0] - 1;
        var alone = Gradients(F.linear_cross_entropy(hidden.narrow(0, 0, n), model.Language.Head, batch.Labels.narrow(0, 1, n), batch.Weights.narrow(0, 1, n), PackedBatch.Ignored));
        Assert.Equal(alone.Keys, together.Keys);
        Assert.Contains(alone.Keys, name => name.StartsWith("vision_model.", StringComparison.Ordinal));
        Assert.All(alone, g => Assert.InRange(((together[g.Key] - g.Value).norm() / g.Value.norm()).item<float>(), 0, 2e-5f));

        Dictionary<string, Tensor> Gradients(Tensor loss)
        {
            model.zero_grad();
            loss.backward();
            return model.named_parameters().Where(p => p.parameter.grad is not null).ToDictionary(p => p.name, p => p.parameter.grad!.clone());
        }
    }

    [Fact]
    public void BudgetsCountWhatAnImageReallyTakes()
    {
        using var source = new JsonlSource(WriteMixed(_folder, 40));
        using var loader = new PackedLoader([new(source)], Native, new() { MaxTokens = 400, MaxTiles = 7, BufferSize = 24, Samples = 40 });
        int batches = 0, images = 0;
        for (; loader.Next() is { } batch; batches++)
        {
            using var own = batch;
            long patches = batch.Images.Sum(image => image.shape[1] * image.shape[2] / (28 * 28));
            Assert.Equal(patches, batch.Ids.data<long>().Count(id => id == Template.ImageContextId));
            Assert.InRange(patches, 0, 7);
            Assert.InRange(batch.Ids.shape[0], 1, 400);
            Assert.Null(batch.Pixels);
            Assert.Equal(batch.Images.Count, batch.Tiles);
            images += batch.Tiles;
        }
        Assert.Equal((30, 0), (images, loader.Skips.Total));
        using var narrow = new PackedLoader([new(source)], Native, new() { MaxTiles = 2, Samples = 40 });
        Drain(narrow);
        Assert.Contains("has 3 merged patches; a batch holds 2", Assert.Single(narrow.Skips.Reasons).Value.First[0], StringComparison.Ordinal);
    }

    [Fact]
    public void ALoaderGoesOnInMidEpochBitForBit()
    {
        using var source = new JsonlSource(WriteMixed(_folder, 30));
        var options = new PackingOptions { MaxTokens = 400, MaxTiles = 9, BufferSize = 12, Seed = 5, Lanes = 2, Samples = 70 };
        using var loader = new PackedLoader([new(source)], Native, options);
        var whole = Drain(loader);
        Assert.Contains(whole, batch => batch.Contains(" 28 84 ", StringComparison.Ordinal));
        for (int stop = 0; stop < whole.Count; stop += 3)
        {
            using var first = new PackedLoader([new(source)], Native, options);
            Drain(first, stop);
            using var resumed = new PackedLoader([new(source)], Native, options, LoaderState.FromJson(first.State.ToJson()));
            Assert.Equal(whole.Skip(stop), Drain(resumed));
        }
    }

    [Fact]
    public void OperationsFollowTheSizesOfTheImages()
    {
        using var model = Model(PositionMode.Bilinear);
        using var source = new JsonlSource(WriteMixed(_folder, 8));
        double Of(SampleEncoder encoder)
        {
            using var loader = new PackedLoader([new(source)], encoder, new() { MaxTokens = 4096, MaxTiles = 999, Samples = 8 });
            using var batch = loader.Next()!;
            return new ModelFlops(model.Config, vision: true, connector: true, language: false).Of(batch);
        }
        // One tile of 56 px has the pixels of four merged patches; the images here have one or three.
        double native = Of(new(new(Tokenizer, 1), model.Config.Split(1))), tiled = Of(new(new(Tokenizer, 4), new DynamicTiling(1, 1, 56)));
        Assert.InRange(native, 0.2 * tiled, 0.9 * tiled);
    }
}
