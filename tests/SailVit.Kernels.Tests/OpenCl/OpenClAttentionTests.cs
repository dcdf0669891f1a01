using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Tests.Ops;

namespace SailVit.Kernels.Tests.OpenCl;

// The whole protocol of attention, on the OpenCL device in use.

public sealed class OpenClAttentionTests : AttentionTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionMaskTests : AttentionMaskTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionVarlenTests : AttentionVarlenTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionHostileTests : AttentionHostileTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionFuzzTests : AttentionFuzzTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionMemoryTests : AttentionMemoryTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionMemoryManyLanesTests : AttentionMemoryTests, IDisposable
{
    private readonly OnOpenCl _device = new();
    private readonly IDisposable _lanes = OpenClRows.Force(manyLanes: true);

    public void Dispose()
    {
        _lanes.Dispose();
        _device.Dispose();
    }
}

public sealed class OpenClRotaryTests : RotaryTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionNotANumberTests : AttentionNotANumberTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}

public sealed class OpenClAttentionKvCacheTests : AttentionKvCacheTests, IDisposable
{
    private readonly OnOpenCl _device = new();

    public void Dispose() => _device.Dispose();
}
