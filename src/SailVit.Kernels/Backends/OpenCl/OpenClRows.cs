using SailVit.Kernels.Backends.Portable;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Launches kernels that go row by row: one work-item per row on processors, a work-group on GPUs.</summary>
/// <remarks>Always one group per row: with a loop over rows around those over channels, PoCL makes no vectors (5 ms instead of 0.2).</remarks>
internal static class OpenClRows
{
    [ThreadStatic]
    private static bool? _manyLanes;

    /// <summary>Whether the device in use gets a work-group per row.</summary>
    public static bool UsesManyLanes => _manyLanes ?? !OpenClDevices.Current.IsCpu;

    /// <summary>Runs the wide kernel, or the narrow one, on any device until the result is disposed: for tests of both.</summary>
    internal static IDisposable Force(bool manyLanes)
    {
        var scope = new Scope(_manyLanes);
        _manyLanes = manyLanes;
        return scope;
    }

    /// <summary>Runs a kernel over rows on the device in use.</summary>
    public static void Run<A>(PortableKernel oneLane, PortableKernel manyLanes, long rows, ReadOnlySpan<HostArray> arrays, in A scalars) where A : unmanaged
    {
        if (rows <= 0)
        {
            return;
        }
        OpenClQueue.Of(OpenClDevices.Current).Run(UsesManyLanes ? manyLanes : oneLane, rows, arrays, scalars);
    }

    private sealed class Scope(bool? previous) : IDisposable
    {
        public void Dispose() => _manyLanes = previous;
    }
}
