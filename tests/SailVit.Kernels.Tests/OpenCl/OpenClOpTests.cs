using SailVit.Kernels.Tests.Ops;

namespace SailVit.Kernels.Tests.OpenCl;

// The whole protocol of each op, on the OpenCL device in use.

public sealed class OpenClLayerNormTests : LayerNormTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClRmsNormTests : RmsNormTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClGeluTests : GeluTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClSwiGluTests : SwiGluTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClLayerScaleTests : LayerScaleTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClLinearTests : LinearTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClPatchEmbedTests : PatchEmbedTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClLinearCrossEntropyTests : LinearCrossEntropyTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}
