using static SailVit.Kernels.Backends.OpenCl.OpenClNative;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Wraps the host arrays of one launch as OpenCL buffers, without a copy where the device works in the host's memory.</summary>
/// <remarks>What two buffers over the same memory hold is undefined, so arrays that overlap (halves of a packed tensor) share one.
/// Elsewhere the driver uploads when the kernel starts and brings back what is mapped.</remarks>
internal sealed unsafe class HostBuffers : IDisposable
{
    private readonly List<Wrapped> _buffers = [];
    private readonly (int Buffer, long Offset)[] _places;

    public HostBuffers(OpenClQueue queue, ReadOnlySpan<HostArray> arrays)
    {
        _places = new (int, long)[arrays.Length];
        try
        {
            Wrap(queue, arrays);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The buffer that holds an array, 0 for an absent one, and the array's offset there in elements.</summary>
    public (nint Buffer, int Offset) this[int array] => _places[array].Buffer < 0 ? default : (_buffers[_places[array].Buffer].Handle, checked((int)_places[array].Offset));

    /// <summary>Whether nothing of them is the host's memory.</summary>
    public bool StayOnDevice => _buffers.TrueForAll(b => b.IsKept);

    /// <summary>Asks for what the kernel wrote, without waiting.</summary>
    public void Map(nint queue)
    {
        foreach (var buffer in _buffers.Where(b => b is { IsWritten: true, IsKept: false }))
        {
            int status;
            void* mapped = clEnqueueMapBuffer(queue, buffer.Handle, 0, MapRead, 0, (nuint)buffer.Bytes, 0, null, null, &status);
            OpenClException.Check(status, nameof(clEnqueueMapBuffer));
            OpenClException.Check(clEnqueueUnmapMemObject(queue, buffer.Handle, mapped, 0, null, null), nameof(clEnqueueUnmapMemObject));
        }
    }

    public void Dispose()
    {
        foreach (var buffer in _buffers.Where(b => !b.IsKept))
        {
            _ = clReleaseMemObject(buffer.Handle);
        }
        _buffers.Clear();
    }

    private void Wrap(OpenClQueue queue, ReadOnlySpan<HostArray> arrays)
    {
        var memory = DeviceMemory.Of(queue);
        var order = new int[arrays.Length];
        var starts = new nint[arrays.Length];
        for (int i = 0; i < arrays.Length; i++)
        {
            (order[i], starts[i], _places[i]) = (i, arrays[i].Data, (-1, 0));
        }
        Array.Sort(starts, order);
        for (int i = 0; i < order.Length;)
        {
            if (arrays[order[i]].Length == 0)
            {
                i++;
                continue;
            }
            // Offsets are counted in elements: a float may lie behind a 16-bit number.
            int first = i;
            var (start, end, written) = (arrays[order[i]].Data & -sizeof(float), arrays[order[i]].End, false);
            for (; i < order.Length && (arrays[order[i]].Data < end || arrays[order[i]].Length == 0); i++)
            {
                var array = arrays[order[i]];
                if (array.Length > 0)
                {
                    (end, written) = (array.End > end ? array.End : end, written | array.IsWritten);
                }
            }
            var kept = memory?.Take(start, end, written);
            if (kept is null)
            {
                memory?.CountCrossing(end - start, written);
            }
            start = kept?.Start ?? start;
            foreach (int one in order.AsSpan(first, i - first))
            {
                _places[one] = arrays[one].Length == 0 ? (-1, 0) : (_buffers.Count, (arrays[one].Data - start) / arrays[one].ElementSize);
            }
            _buffers.Add(new(kept?.Buffer ?? queue.CreateBuffer(end - start, start, written), end - start, written, kept is not null));
        }
    }

    private readonly record struct Wrapped(nint Handle, long Bytes, bool IsWritten, bool IsKept);
}
