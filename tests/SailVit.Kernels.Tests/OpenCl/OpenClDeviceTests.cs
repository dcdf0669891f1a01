using SailVit.Kernels.Backends.OpenCl;
using Xunit;

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
}
