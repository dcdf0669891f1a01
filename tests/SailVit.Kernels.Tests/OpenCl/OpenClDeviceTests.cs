using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.OpenCl;

public sealed class OpenClDeviceTests
{
    [Fact]
    public void NoDevice_SaysWhatToInstall() =>
        Assert.Contains("pocl-opencl-icd", Assert.Throws<PlatformNotSupportedException>(() => OpenClDevices.Choose([], null)).Message, StringComparison.Ordinal);

    [Fact]
    public void Device_IsChosenByNumberOrName()
    {
        using var device = new OnOpenCl();
        var all = OpenClDevices.All;
        Assert.Same(all[0], OpenClDevices.Choose(all, "0"));
        Assert.Same(all[0], OpenClDevices.Choose(all, all[0].Name.ToUpperInvariant()));
        Assert.Contains(all, d => d == OpenClDevices.Choose(all, null));
        foreach (var wrong in (string[])["99", "no such device", "-1"])
        {
            var message = Assert.Throws<PlatformNotSupportedException>(() => OpenClDevices.Choose(all, wrong)).Message;
            Assert.Contains(wrong, message, StringComparison.Ordinal);
            Assert.Contains(all[0].Name, message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Limits_AreTheDevices()
    {
        using var used = new OnOpenCl();
        var device = OpenClDevices.Current;
        Assert.NotEmpty(device.Name);
        Assert.StartsWith("OpenCL ", device.Version, StringComparison.Ordinal);
        Assert.InRange(device.MaxAllocation, 1, device.GlobalMemory);
        Assert.True(device.MaxGroupSize >= 1 && device.LocalMemory > 0 && device.ComputeUnits > 0);
    }

    [Fact]
    public void OpWithoutAKernel_SaysSo()
    {
        using var used = new OnOpenCl();
        using var scope = NewDisposeScope();
        var x = randn(2, 8);
        (string Op, Action Call)[] calls =
        [
            ("attention_kvcache_", () => functional.attention_kvcache_(randn(1, 2, 8), randn(1, 2, 8), randn(1, 2, 8), zeros(1, 4, 2, 8), zeros(1, 4, 2, 8), [0, 1], [0])),
        ];
        foreach (var (op, call) in calls)
        {
            var message = Assert.Throws<PlatformNotSupportedException>(call).Message;
            Assert.StartsWith($"{op} has no OpenCL kernel", message, StringComparison.Ordinal);
        }
        using var cpu = Dispatcher.Use(BackendKind.Cpu);
        Assert.Equal([2, 4], functional.linear(x, randn(4, 8)).shape);
    }
}
