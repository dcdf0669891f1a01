using SailVit.Model.Encoders;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Encoders;

/// <summary>Counts the process's live tensors, so nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(LiveTensors), DisableParallelization = true)]
public sealed class LiveTensors;

[Collection(nameof(LiveTensors))]
public sealed class VisionTransformerMemoryTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TrainingSteps_LeaveNoTensorBehind(bool checkpointing)
    {
        using var model = new VisionTransformer(VisionTransformerTests.InternVit) { GradientCheckpointing = checkpointing };
        void Step()
        {
            using var scope = NewDisposeScope();
            model.zero_grad();
            model.call(randn(1, 3, 28, 42)).sum().backward();
        }
        Step();
        Step();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = Tensor.TotalCount;
        for (int i = 0; i < 20; i++)
        {
            Step();
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(before, Tensor.TotalCount);
    }

    [Fact]
    public void Inference_LeavesNoTensorBehind()
    {
        using var model = new VisionTransformer(VisionTransformerTests.InternVit);
        model.eval();
        void Encode()
        {
            using var off = no_grad();
            using var output = model.Encode(randn(1, 3, 28, 42), [0, -1]);
        }
        Encode();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = Tensor.TotalCount;
        for (int i = 0; i < 20; i++)
        {
            Encode();
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(before, Tensor.TotalCount);
    }
}
