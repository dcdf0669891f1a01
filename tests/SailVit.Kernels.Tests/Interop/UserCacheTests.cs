using SailVit.Kernels.Interop;
using Xunit;

namespace SailVit.Kernels.Tests.Interop;

public sealed class UserCacheTests
{
    [Fact]
    public void Folder_IsAbsoluteOrNone()
    {
        Assert.Equal(Path.Combine("/fast/cache", "sailvit", "opencl"), UserCache.Folder("opencl", "/fast/cache", "/me"));
        foreach (var none in (string?[])[null, "", "cache", "./cache"])
        {
            Assert.Equal(Path.Combine("/me", ".cache", "sailvit", "opencl"), UserCache.Folder("opencl", none, "/me"));
            Assert.Null(UserCache.Folder("opencl", none, ""));
        }
    }
}
