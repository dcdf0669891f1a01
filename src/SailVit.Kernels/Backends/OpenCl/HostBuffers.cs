using static SailVit.Kernels.Backends.OpenCl.OpenClNative;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Wraps the host arrays of one launch as OpenCL buffers, without a copy where the device works in the host's memory.</summary>
/// <remarks>What two buffers over the same memory hold is undefined, so arrays that overlap (halves of a packed tensor) share one.
/// Elsewhere the driver uploads when the kernel starts and brings back what is mapped.</remarks>
internal sealed unsafe class HostBuffers : IDisposable
{
    private readonly List<Wrapped> _buffers = [];
    private readonly (int Buffer, long Offset)[] _places;

    public HostBuffers(nint context, OpenClDevice device, ReadOnlySpan<HostArray> arrays)
    {
        _places = new (int, long)[arrays.Length];
        try
        {
            Wrap(context, device, arrays);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The buffer that holds an array, 0 for an absent one, and the array's offset there in elements.</summary>
    public (nint Buffer, int Offset) this[int array] => _places[array].Buffer < 0 ? default : (_buffers[_places[array].Buffer].Handle, checked((int)_places[array].Offset));

    /// <summary>Waits until the host sees what the kernel wrote.</summary>
    public void Return(nint queue)
    {
        try
        {
            foreach (var buffer in _buffers.Where(b => b.IsWritten))
            {
                int status;
                void* mapped = clEnqueueMapBuffer(queue, buffer.Handle, 1, MapRead, 0, (nuint)buffer.Bytes, 0, null, null, &status);
                OpenClException.Check(status, nameof(clEnqueueMapBuffer));
                OpenClException.Check(clEnqueueUnmapMemObject(queue, buffer.Handle, mapped, 0, null, null), nameof(clEnqueueUnmapMemObject));
            }
        }
        catch
        {
            // The kernel may still be running, and its memory goes back to libtorch.
            _ = clFinish(queue);
            throw;
        }
        OpenClException.Check(clFinish(queue), nameof(clFinish));
    }

    public void Dispose()
    {
        foreach (var buffer in _buffers)
        {
            _ = clReleaseMemObject(buffer.Handle);
        }
        _buffers.Clear();
    }

    private void Wrap(nint context, OpenClDevice device, ReadOnlySpan<HostArray> arrays)
    {
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
            var (start, end, written) = (arrays[order[i]].Data & -sizeof(float), arrays[order[i]].End, false);
            for (; i < order.Length && (arrays[order[i]].Data < end || arrays[order[i]].Length == 0); i++)
            {
                var array = arrays[order[i]];
                if (array.Length > 0)
                {
                    _places[order[i]] = (_buffers.Count, (array.Data - start) / array.ElementSize);
                    (end, written) = (array.End > end ? array.End : end, written | array.IsWritten);
                }
            }
            _buffers.Add(Create(context, device, start, end - start, written));
        }
    }

    private static Wrapped Create(nint context, OpenClDevice device, nint start, long bytes, bool written)
    {
        if (bytes > device.MaxAllocation)
        {
            throw new OpenClException($"A tensor of {bytes / 1e6:f0} MB is larger than {device} can hold at once ({device.MaxAllocation / 1e6:f0} MB); use smaller batches.");
        }
        int status;
        nint handle = clCreateBuffer(context, UseHostPointer | (written ? ReadWrite : ReadOnly), (nuint)bytes, (void*)start, &status);
        OpenClException.Check(status, nameof(clCreateBuffer));
        return new(handle, bytes, written);
    }

    private readonly record struct Wrapped(nint Handle, long Bytes, bool IsWritten);
}
