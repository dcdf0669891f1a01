using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Data;

public sealed class PackedLossTests
{
    // Each sample alone, and all end to end: Σ w·CE / Σ w must be the same, so nothing reaches over a boundary.
    [Theory]
    [InlineData(LossWeighting.Token)]
    [InlineData(LossWeighting.Square)]
    public void PackedAndUnpackedLossesAgree(LossWeighting weighting)
    {
        using var folder = new TempFolder();
        using var source = new JsonlSource(WriteMixed(folder, 12));
        using var model = MultimodalModel.Load(TestData.Golden("sailvl_qwen3_small"));
        var encoder = new SampleEncoder(new ChatTemplate(Tokenizer, model.Config.TokensPerTile), new DynamicTiling(1, 2, model.Config.ForceImageSize, Thumbnail: true));
        using var noGrad = no_grad();
        var (packed, packedWeight, batches) = Loss(new PackingOptions { MaxTokens = 1024, MaxTiles = 16, Samples = 12, Weighting = weighting });
        var (alone, aloneWeight, samples) = Loss(new PackingOptions { MaxTokens = 1024, MaxTiles = 16, Samples = 12, Weighting = weighting, BufferSize = 1 });
        Assert.True(batches < samples);
        Assert.Equal(12, samples);
        Assert.Equal(aloneWeight, packedWeight, 1e-4);
        Assert.InRange(Math.Abs((packed / packedWeight) - (alone / aloneWeight)), 0, 1e-5 * (alone / aloneWeight));

        (double Sum, double Weight, int Batches) Loss(PackingOptions options)
        {
            using var loader = new PackedLoader([new(source)], encoder, options);
            double sum = 0, weight = 0;
            int count = 0;
            for (; loader.Next() is { } batch; count++)
            {
                using (batch)
                {
                    using var loss = model.Loss(batch);
                    double own = batch.Weights.sum().item<float>();
                    (sum, weight) = (sum + (loss.item<float>() * own), weight + own);
                }
            }
            return (sum, weight, count);
        }
    }
}
