using System.Globalization;
using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Multimodal;
using SailVit.Model.Refinement;
using SailVit.Model.Text;
using TorchSharp;
using Xunit;
using static SailVit.Model.Tests.Data.Samples;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Data;

public sealed class PackedLossTests
{
    private const int Count = 12;

    private sealed record Pass(double Loss, Dictionary<string, Tensor> Gradients, int Batches, List<Part> Parts);

    /// <summary>Σ CE over the labels of a batch in doubles, from its hidden states, and the labels themselves.</summary>
    private sealed record Part(double CrossEntropy, long[] Labels)
    {
        public int Tokens => Labels.Length;
    }

    /// <summary>Each sample alone, and all end to end: Σ w·CE / Σ w and its gradients must be the same, so nothing reaches over a boundary;
    /// and the loss is what the definition of the weighting makes of the answers' cross-entropies in doubles.</summary>
    [Theory]
    [InlineData(LossWeighting.Token)]
    [InlineData(LossWeighting.Sample)]
    [InlineData(LossWeighting.Square)]
    public void PackedAndUnpacked_LossesAndGradientsAgree(LossWeighting weighting)
    {
        using var scope = NewDisposeScope();
        using var folder = new TempFolder();
        using var source = new JsonlSource(WriteMixed(folder, Count));
        using var model = MultimodalModel.Load(TestData.Golden("sailvl_qwen3_small"));
        var options = new PackingOptions { MaxTokens = 1024, MaxTiles = 16, Samples = Count, Weighting = weighting };
        var packed = Run(model, source, options);
        var alone = Run(model, source, options with { BufferSize = 1 });
        Assert.True(packed.Batches < alone.Batches);
        Assert.Equal(Count, alone.Batches);
        // The answers alone are learned.
        Assert.All(alone.Parts, p => Assert.Matches(@"^It is( red)+ \d+\.(<\|im_end\|>)$", Tokenizer.Decode(p.Labels.Select(id => (int)id), skipSpecial: false)));
        Assert.Equal(1, packed.Loss / alone.Loss, 1e-5);
        Assert.Equal(1, packed.Loss / Defined(alone.Parts, weighting), 1e-5);
        // All but those behind the selected hidden state.
        Assert.Equal(model.named_parameters().Select(p => p.name).Where(name => Used(name, model.Config)), alone.Gradients.Keys);
        Assert.All(alone.Gradients, g =>
        {
            // Sums over other rows in another order: 5e-7 at most was seen.
            double difference = (packed.Gradients[g.Key] - g.Value).norm().item<double>(), size = g.Value.norm().item<double>();
            Assert.True(difference <= 2e-6 * size, $"{g.Key}: {difference} of {size}");
        });
    }

    private static double Defined(List<Part> samples, LossWeighting weighting) => weighting switch
    {
        LossWeighting.Token => samples.Sum(s => s.CrossEntropy) / samples.Sum(s => s.Tokens),
        LossWeighting.Sample => samples.Average(s => s.CrossEntropy / s.Tokens),
        _ => samples.Sum(s => s.CrossEntropy / Math.Sqrt(s.Tokens)) / samples.Sum(s => Math.Sqrt(s.Tokens)),
    };

    private static bool Used(string name, MultimodalConfig config) => !name.Contains("post_trunk_norm", StringComparison.Ordinal)
        && (name.Split(".blocks.") is not [_, var block] || int.Parse(block.Split('.')[0], CultureInfo.InvariantCulture) < TrainedParts.BlocksInUse(config));

    private static Pass Run(MultimodalModel model, JsonlSource source, PackingOptions options)
    {
        var encoder = new SampleEncoder(new ChatTemplate(Tokenizer, model.Config.TokensPerTile), new DynamicTiling(1, 2, model.Config.ForceImageSize, Thumbnail: true));
        using var loader = new PackedLoader([new(source)], encoder, options);
        double sum = 0, weight = 0;
        var parts = new List<Part>();
        while (loader.Next() is { } batch)
        {
            using (batch)
            {
                using var loss = model.Loss(batch);
                double own = batch.Weights.sum(float64).item<double>();
                using Scalar share = own;
                (loss * share).backward();
                (sum, weight) = (sum + (loss.item<float>() * own), weight + own);
                parts.Add(CrossEntropy(model, batch));
            }
        }
        using Scalar all = 1 / weight;
        var gradients = model.named_parameters().Where(p => p.parameter.grad is not null).ToDictionary(p => p.name, p => p.parameter.grad!.to(float64) * all);
        model.zero_grad();
        return new(sum / weight, gradients, parts.Count, parts);
    }

    private static Part CrossEntropy(MultimodalModel model, PackedBatch batch)
    {
        using var off = no_grad();
        long predictions = batch.Ids.numel() - 1;
        var labels = batch.Labels.narrow(0, 1, predictions);
        var learned = labels.ne(PackedBatch.Ignored).nonzero().view(-1);
        var logits = model.Hidden(batch).narrow(0, 0, predictions)[learned].to(float64).matmul(model.Language.Head.to(float64).t());
        return new(nn.functional.cross_entropy(logits, labels[learned], reduction: nn.Reduction.Sum).item<double>(), labels[learned].data<long>().ToArray());
    }
}
