namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Launches of one thread that the host waits for together: a wait costs a processor's device as much as a small kernel.</summary>
/// <remarks>Only where the device works in the host's memory: elsewhere a kernel sees what another one wrote to a tensor after
/// it has come back, unless both use its one buffer in <see cref="DeviceMemory"/>. Until it ends the host must not read what the kernels write.</remarks>
internal sealed class OpenClBatch : IDisposable
{
    [ThreadStatic]
    private static OpenClBatch? _current;

    private readonly List<HostBuffers> _launched = [];
    private readonly OpenClQueue _queue;

    private OpenClBatch(OpenClQueue queue) => _queue = queue;

    /// <summary>Begins one on this thread; null where each launch is waited for, or another batch is under way.</summary>
    public static OpenClBatch? Begin(OpenClDevice device) => device.SharesMemory && _current is null ? _current = new(OpenClQueue.Of(device)) : null;

    /// <summary>The batch of this thread that a queue's launches belong to.</summary>
    public static OpenClBatch? Of(OpenClQueue queue) => _current?._queue == queue ? _current : null;

    public void Add(HostBuffers launched) => _launched.Add(launched);

    /// <summary>Waits until the host sees what all kernels wrote.</summary>
    public void Dispose()
    {
        _current = null;
        try
        {
            _queue.Return(_launched);
        }
        finally
        {
            _launched.ForEach(buffers => buffers.Dispose());
        }
    }
}
