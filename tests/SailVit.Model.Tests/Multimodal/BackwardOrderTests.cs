using SailVit.Kernels.Interop;
using SailVit.Model.Checkpoints;
using SailVit.Model.Multimodal;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Multimodal;

public sealed class BackwardOrderTests
{
    // What a section promises: nothing is added to these gradients any more, although the pass goes on.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Gradients_AreCompleteWhenThePassHasComeBy(bool checkpointing)
    {
        using var scope = NewDisposeScope();
        string golden = TestData.Golden("sailvl_qwen3_small");
        using var model = MultimodalModel.Load(golden, ScalarType.Float32);
        model.train();
        (model.Vision.GradientCheckpointing, model.Language.GradientCheckpointing) = (checkpointing, checkpointing);
        using var expected = SafetensorsFile.Open(Path.Combine(golden, "expected.safetensors"));
        var parameters = model.named_parameters().ToDictionary(p => p.name, p => p.parameter);
        var order = model.BackwardOrder();
        var seen = new Dictionary<string, Tensor?>();
        var sections = new List<int>();
        model.WatchBackward(section =>
        {
            sections.Add(section);
            foreach (string name in order.Take(section + 1).SelectMany(names => names).Where(name => !seen.ContainsKey(name)))
            {
                seen.Add(name, parameters[name].grad?.clone().DetachFromDisposeScope());
            }
        });
        using var batch = MultimodalGoldenTests.Batch(expected);
        BackwardException.Run(model.Loss(batch));
        // The connector reads a hidden state before the last: blocks behind it do not run.
        var (layers, idle) = (model.Config.Language.Layers, -1 - model.Config.SelectLayer);
        Assert.Equal([.. Enumerable.Range(0, layers), .. Enumerable.Range(layers + idle, model.Config.Vision.Layers - idle)], sections);
        Assert.All(parameters.Keys.Except(seen.Keys), name => Assert.StartsWith("vision_model.preprocessor.", name, StringComparison.Ordinal));
        Assert.All(seen, AssertComplete);

        // Marks change no bit of it.
        foreach (var parameter in parameters.Values)
        {
            parameter.grad = null;
        }
        model.WatchBackward(null);
        BackwardException.Run(model.Loss(batch));
        Assert.All(seen, AssertComplete);

        void AssertComplete(KeyValuePair<string, Tensor?> then)
        {
            var now = parameters[then.Key].grad;
            Assert.True(now is null ? then.Value is null : then.Value is not null && TestData.Same(now, then.Value), then.Key);
        }
    }
}
