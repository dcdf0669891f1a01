using SailVit.Kernels.Dispatch;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using F = SailVit.Kernels.functional;

namespace SailVit.Kernels.Tests.Dispatch;

public sealed class DispatcherTests
{
    [Theory]
    [InlineData(null, BackendKind.Auto)]
    [InlineData("", BackendKind.Auto)]
    [InlineData("Auto", BackendKind.Auto)]
    [InlineData("CPU", BackendKind.Cpu)]
    [InlineData("cpu", BackendKind.Cpu)]
    public void Parse_ReadsNames(string? name, BackendKind expected) => Assert.Equal(expected, Dispatcher.Parse(name));

    [Theory]
    [InlineData("cuda", "offer Cpu")]
    [InlineData("tpu", "use auto, cpu, cuda or opencl")]
    public void Parse_RefusesWhatIsMissing(string name, string part) =>
        Assert.Contains(part, Assert.Throws<PlatformNotSupportedException>(() => Dispatcher.Parse(name)).Message, StringComparison.Ordinal);

    [Fact]
    public void Use_EndsWithItsScope()
    {
        var before = Dispatcher.Choice;
        using (Dispatcher.Use(BackendKind.Cpu))
        {
            Assert.Equal(BackendKind.Cpu, Dispatcher.Choice);
            Assert.Throws<PlatformNotSupportedException>(() => Dispatcher.Use(BackendKind.Cuda));
        }
        Assert.Equal(before, Dispatcher.Choice);
    }

    [Fact]
    public void TensorOnAnotherDevice_IsRefusedWithTheBackendsThatThereAre()
    {
        using var scope = NewDisposeScope();
        var e = Assert.ThrowsAny<ArgumentException>(() => F.layer_norm(zeros(2, 3, device: META), [3]));
        Assert.NotEmpty(e.Message);
    }
}
