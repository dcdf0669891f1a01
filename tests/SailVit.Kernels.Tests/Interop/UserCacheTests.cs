using SailVit.Kernels.Interop;
using Xunit;

namespace SailVit.Kernels.Tests.Interop;

public sealed class UserCacheTests
{
    [Fact]
    public void Folder_IsAbsoluteOrNone()
    {
        Assert.Equal(Path.Combine("/fast/cache", "sailvit", "opencl"), UserCache.Folder("opencl", "/fast/cache", "/home/me"));
        foreach (var none in (string?[])[null, "", "cache", "./cache"])
        {
            Assert.Equal(Path.Combine("/home/me", ".cache", "sailvit", "opencl"), UserCache.Folder("opencl", none, "/home/me"));
            Assert.Null(UserCache.Folder("opencl", none, ""));
        }
    }
}
