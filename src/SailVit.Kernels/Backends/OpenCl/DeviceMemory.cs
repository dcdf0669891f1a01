using SailVit.Kernels.Interop;
using TorchSharp;
using static SailVit.Kernels.Backends.OpenCl.OpenClNative;
using static TorchSharp.torch;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Buffers that outlive launches: what ops called from one thread compute stays on the device until it is asked for.</summary>
/// <remarks>
/// Each region of host memory (a tensor's, or scratch) has one buffer, made when a kernel first takes it. What is uploaded is uploaded
/// once, and again if libtorch counted a change of the tensor meanwhile.
/// </remarks>
internal sealed unsafe class DeviceMemory : IDisposable
{
    [ThreadStatic]
    private static DeviceMemory? _current;

    private readonly SortedList<nint, Region> _regions = [];
    private readonly OpenClQueue _queue;
    private readonly DeviceMemory? _outer;
    private readonly Action<Tensor>? _outerListener;

    public DeviceMemory(OpenClQueue queue)
    {
        _queue = queue;
        (_outer, _outerListener) = (_current, Allocate.Listener);
        (_current, Allocate.Listener) = (this, Add);
    }

    private enum Newest
    {
        /// <summary>Nothing was written yet.</summary>
        None,
        Host,
        Both,
        Device,
    }

    /// <summary>That of this thread; null where each op returns what it computed.</summary>
    public static DeviceMemory? Current => _current;

    /// <summary>That of this thread, if it is of a queue.</summary>
    public static DeviceMemory? Of(OpenClQueue queue) => _current?._queue == queue ? _current : null;

    /// <summary>Bytes sent to the device so far.</summary>
    public long Uploaded { get; private set; }

    /// <summary>Bytes brought back so far.</summary>
    public long Downloaded { get; private set; }

    /// <summary>Uploads a tensor when a kernel first takes it, and keeps it there.</summary>
    public void Keep(Tensor tensor) => Add(tensor, Newest.Host, isConstant: true);

    /// <summary>Gives scratch memory a buffer until the result is disposed; its content never crosses.</summary>
    public static Scratch AddScratch(void* data, long bytes)
    {
        if (_current is not { } memory || bytes == 0)
        {
            return default;
        }
        memory.Replace((nint)data, new(bytes));
        return new(memory, (nint)data);
    }

    /// <summary>The buffer that has a range of host memory, ready for a kernel, and where it begins; null where none is kept for it.</summary>
    /// <exception cref="InvalidOperationException">The tensor was changed on the host after the device had written it.</exception>
    public (nint Buffer, nint Start)? Take(nint start, nint end, bool isWritten)
    {
        if (Find(start) is not { } region || end > region.Start + (nint)region.Bytes)
        {
            GiveUp(start, end);
            return null;
        }
        region.Value.Buffer = region.Value.Buffer == 0 ? _queue.CreateBuffer(region.Bytes) : region.Value.Buffer;
        Refresh(region.Value);
        if (region.Value.Newest == Newest.Host)
        {
            _queue.Upload(region.Value.Buffer, region.Start, region.Bytes);
            Uploaded += region.Bytes;
            region.Value.Newest = Newest.Both;
        }
        if (isWritten)
        {
            region.Value.Newest = Newest.Device;
        }
        return (region.Value.Buffer, region.Start);
    }

    /// <summary>Counts memory that nothing is kept for: it crosses with the kernel.</summary>
    public void CountCrossing(long bytes, bool isWritten)
    {
        Uploaded += bytes;
        Downloaded += isWritten ? bytes : 0;
    }

    /// <summary>Brings a tensor to the host if it is newer on the device.</summary>
    public void Download(Tensor tensor)
    {
        if (Find((nint)new TensorView(tensor).Data) is { } region)
        {
            Download(region.Start, region.Value);
        }
    }

    /// <summary>Whether the host's content of a tensor is old.</summary>
    public bool IsNewer(nint data) => Find(data) is { Value.Newest: Newest.Device };

    /// <summary>Grows with every result.</summary>
    public long Mark { get; private set; }

    /// <summary>Drops all results since a mark but these, without bringing them back.</summary>
    public void Trim(long since, ReadOnlySpan<Tensor> kept)
    {
        var starts = new HashSet<nint>();
        foreach (var tensor in kept)
        {
            if (Find((nint)new TensorView(tensor).Data) is { } region)
            {
                starts.Add(region.Start);
            }
        }
        foreach (var (start, region) in _regions.Where(r => r.Value.Owner is not null && r.Value.Mark >= since && !starts.Contains(r.Key)).ToList())
        {
            Remove(start, region);
        }
    }

    /// <summary>Brings all results back and frees the buffers.</summary>
    public void Dispose()
    {
        (_current, Allocate.Listener) = (_outer, _outerListener);
        try
        {
            foreach (var (start, region) in _regions)
            {
                Download(start, region);
            }
        }
        finally
        {
            foreach (var (start, region) in _regions.ToList())
            {
                Remove(start, region);
            }
        }
    }

    // A range that is more than a region: the host's memory must hold all of it.
    private void GiveUp(nint start, nint end)
    {
        foreach (var (at, region) in _regions.Where(r => r.Key < end && r.Key + (nint)r.Value.Bytes > start).ToList())
        {
            Download(at, region);
            Remove(at, region);
        }
    }

    private void Add(Tensor tensor) => Add(tensor, Newest.None, isConstant: false);

    private void Add(Tensor tensor, Newest newest, bool isConstant)
    {
        var view = new TensorView(tensor);
        long bytes = view.Length * view.DType.Size();
        if (bytes > 0 && Find((nint)view.Data) is null)
        {
            // Another handle keeps the memory: at its address libtorch would put the next tensor.
            var owner = tensor.alias().DetachFromDisposeScope();
            Replace((nint)view.Data, new(bytes) { Owner = owner, Version = TensorVersion.Of(owner), Newest = newest, Mark = isConstant ? -1 : Mark++ });
        }
    }

    private void Replace(nint start, Region region)
    {
        if (_regions.TryGetValue(start, out var old))
        {
            Remove(start, old);
        }
        _regions.Add(start, region);
    }

    private void Remove(nint start, Region region)
    {
        _regions.Remove(start);
        _ = region.Buffer == 0 ? 0 : clReleaseMemObject(region.Buffer);
        region.Owner?.Dispose();
    }

    private void Download(nint start, Region region)
    {
        if (region is { Newest: Newest.Device, Owner: not null })
        {
            _queue.Download(region.Buffer, start, region.Bytes);
            Downloaded += region.Bytes;
            region.Newest = Newest.Both;
        }
    }

    private static void Refresh(Region region)
    {
        if (region.Owner is null || TensorVersion.Of(region.Owner) is var version && version == region.Version)
        {
            return;
        }
        if (region.Newest == Newest.Device)
        {
            throw new InvalidOperationException("A tensor was changed on the host while its newest content was on the OpenCL device. Call DeviceScope.Download before changing it in place.");
        }
        (region.Version, region.Newest) = (version, Newest.Host);
    }

    private Found? Find(nint address)
    {
        // The last region that begins at or before it.
        int low = 0, high = _regions.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _regions.Keys[middle] <= address ? (middle + 1, high) : (low, middle);
        }
        return low > 0 && address < _regions.Keys[low - 1] + (nint)_regions.Values[low - 1].Bytes ? new(_regions.Keys[low - 1], _regions.Values[low - 1]) : null;
    }

    /// <summary>Scratch memory that has a buffer.</summary>
    public readonly ref struct Scratch(DeviceMemory? memory, nint start)
    {
        public void Dispose()
        {
            if (memory is not null && memory._regions.TryGetValue(start, out var region))
            {
                memory.Remove(start, region);
            }
        }
    }

    private sealed record Found(nint Start, Region Value)
    {
        public long Bytes => Value.Bytes;
    }

    private sealed class Region(long bytes)
    {
        public long Bytes { get; } = bytes;
        public nint Buffer { get; set; }
        public Newest Newest { get; set; }
        public Tensor? Owner { get; init; }
        public long Version { get; set; }

        /// <summary>When it came; -1 for what lasts.</summary>
        public long Mark { get; init; }
    }
}
