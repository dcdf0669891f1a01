using SailVit.Kernels.Backends.Cpu;
using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Multimodal;

/// <summary>Outputs and gradients of the published reference implementations, computed in float64.</summary>
public sealed class MultimodalGoldenTests
{
    private static readonly string Folder = TestData.Golden("sailvl_qwen3_small");

    public static TheoryData<SimdWidth> Widths => [.. Cpu.Available];

    internal static PackedBatch Batch(SafetensorsFile expected)
    {
        var ids = expected.Read("input.ids");
        return new()
        {
            Ids = ids.flatten(),
            Labels = expected.Read("input.labels").flatten(),
            Weights = ones(ids.numel()),
            Layout = SequenceLayout.Of((int)ids.shape[1], (int)ids.shape[1]),
            Pixels = expected.Read("input.pixel_values"),
            Tiles = 2,
            TrainedTokens = (int)expected.Read("input.labels").ne(PackedBatch.Ignored).sum().item<long>(),
            SampleIds = ["0", "1"],
        };
    }

    private static void AssertClose(Tensor actual, Tensor expected, string name, double tolerance)
    {
        var reference = expected.to(float64).flatten();
        double error = ((actual.to(float64).flatten() - reference).norm() / reference.norm()).item<double>();
        Assert.True(error <= tolerance, $"{name}: relative error {error:E2}");
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void OutputsLossAndGradients_Agree(SimdWidth width)
    {
        using var scope = NewDisposeScope();
        using var path = Cpu.Use(width);
        using var model = MultimodalModel.Load(Folder);
        using var expected = SafetensorsFile.Open(Path.Combine(Folder, "expected.safetensors"));
        using var batch = Batch(expected);

        AssertClose(model.EncodeImages(batch.Pixels!), expected.Read("output.connector"), "output.connector", 1e-6);
        AssertClose(model.Language.Logits(model.Hidden(batch)), expected.Read("output.logits"), "output.logits", 3e-6);
        var loss = model.Loss(batch);
        AssertClose(loss, expected.Read("output.loss"), "output.loss", 1e-6);

        loss.backward();
        var gradients = expected.Tensors.Keys.Where(k => k.StartsWith("grad.", StringComparison.Ordinal)).ToHashSet();
        foreach (var (name, parameter) in model.named_parameters())
        {
            if (gradients.Remove($"grad.{name}"))
            {
                AssertClose(parameter.grad!, expected.Read($"grad.{name}"), $"grad.{name}", 1e-5);
            }
            else
            {
                Assert.True(parameter.grad is null || parameter.grad.abs().max().item<float>() == 0, $"{name} must have no gradient");
            }
        }
        Assert.Empty(gradients);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void GreedyTokens_AreTheSame(SimdWidth width)
    {
        using var scope = NewDisposeScope();
        using var path = Cpu.Use(width);
        using var model = MultimodalModel.Load(Folder);
        using var expected = SafetensorsFile.Open(Path.Combine(Folder, "expected.safetensors"));
        var (ids, pixels, tokens) = (expected.Read("input.ids"), expected.Read("input.pixel_values"), expected.Read("output.generated"));
        var prompts = Enumerable.Range(0, 2).Select(i => new MultimodalPrompt([.. ids[i].data<long>().Select(id => (int)id)], pixels.narrow(0, i, 1))).ToList();
        var answers = model.Generate(prompts, new() { MaxNewTokens = 10 });
        Assert.All(answers, (answer, i) => Assert.Equal(tokens[i].data<long>().Select(id => (int)id), answer.Ids));
    }
}
