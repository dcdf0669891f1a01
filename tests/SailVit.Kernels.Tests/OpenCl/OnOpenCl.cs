using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Dispatch;
using Xunit;

namespace SailVit.Kernels.Tests.OpenCl;

/// <summary>Sends the ops of a test class to the OpenCL device in use: what a class of CPU tests holds, a class derived from it
/// holds there.</summary>
public sealed class OnOpenCl : IDisposable
{
    private readonly IDisposable _use;

    /// <summary>Skips the test where there is no device, unless <c>SAILVIT_BACKEND=opencl</c> asks for one.</summary>
    public OnOpenCl()
    {
        bool asked = string.Equals(Environment.GetEnvironmentVariable(Dispatcher.BackendVariable), "opencl", StringComparison.OrdinalIgnoreCase);
        Assert.SkipUnless(asked || OpenClDevices.All.Count > 0, "This machine has no OpenCL device; packages pocl-opencl-icd and ocl-icd-libopencl1 make one of the processor.");
        _use = Dispatcher.Use(BackendKind.OpenCl);
    }

    /// <summary>Back to the backend of before.</summary>
    public void Dispose() => _use.Dispose();
}
