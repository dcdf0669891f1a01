using SailVit.Kernels.Backends.Cpu;
using SailVit.Kernels.Dispatch;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Encoders;

/// <summary>Outputs and gradients of the published reference implementations, computed in float64.</summary>
public sealed class GoldenTests
{
    private const double Tolerance = 1e-5;

    public static TheoryData<string, SimdWidth> Cases
    {
        get
        {
            var cases = new TheoryData<string, SimdWidth>();
            foreach (var width in Cpu.Available)
            {
                cases.Add("aimv2_small", width);
                cases.Add("internvit_small", width);
            }
            return cases;
        }
    }

    private static VisionTransformer Load(string folder)
    {
        var config = ConfigFile.Read(folder);
        var model = new VisionTransformer(config);
        CheckpointLoader.Load(model, folder, config.Family);
        return model;
    }

    private static void AssertClose(Tensor actual, Tensor expected, string name)
    {
        Assert.Equal(expected.shape, actual.shape);
        var reference = expected.to(float64);
        double error = ((actual.to(float64) - reference).norm() / reference.norm()).item<double>();
        Assert.True(error <= Tolerance, $"{name}: relative error {error:E2}");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void OutputsHiddenStatesAndGradients_Agree(string name, SimdWidth width)
    {
        using var path = Cpu.Use(width);
        AssertOutputsHiddenStatesAndGradients(name);
    }

    [Theory]
    [InlineData("aimv2_small")]
    [InlineData("internvit_small")]
    public void OutputsHiddenStatesAndGradients_AgreeOnOpenCl(string name)
    {
        Assert.SkipUnless(Dispatcher.Available.Contains(BackendKind.OpenCl), "This machine has no OpenCL device; packages pocl-opencl-icd and ocl-icd-libopencl1 make one of the processor.");
        using var path = Dispatcher.Use(BackendKind.OpenCl);
        AssertOutputsHiddenStatesAndGradients(name);
    }

    private static void AssertOutputsHiddenStatesAndGradients(string name)
    {
        using var scope = NewDisposeScope();
        var folder = TestData.Golden(name);
        using var model = Load(folder);
        using var expected = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));

        var output = model.Encode(expected.Read("input.pixel_values"), Enumerable.Range(0, model.HiddenStates));
        AssertClose(output.Last, expected.Read("output.last"), "output.last");
        foreach (var (index, hidden) in output.Hidden)
        {
            AssertClose(hidden, expected.Read($"output.hidden.{index}"), $"output.hidden.{index}");
        }

        output.Last.backward([expected.Read("input.grad_output")]);
        var gradients = expected.Tensors.Keys.Where(k => k.StartsWith("grad.", StringComparison.Ordinal)).ToList();
        Assert.Equal(model.named_parameters().Count(), gradients.Count);
        foreach (var (parameter, value) in model.named_parameters())
        {
            AssertClose(value.grad!, expected.Read($"grad.{parameter}"), $"grad.{parameter}");
        }
    }

    [Fact]
    public void EncoderInsideTheMultimodalModel_GivesTheSelectedLayer()
    {
        using var scope = NewDisposeScope();
        using var off = no_grad();
        var folder = TestData.Golden("sailvl_qwen3_small");
        using var model = Load(folder);
        using var expected = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        var output = model.Encode(expected.Read("input.pixel_values"), [-4]);
        AssertClose(output.Hidden[-4], expected.Read("output.selected"), "output.selected");
    }
}
