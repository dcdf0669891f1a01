using System.Collections.Concurrent;
using SailVit.Kernels.Backends.Portable;
using static SailVit.Kernels.Backends.OpenCl.OpenClNative;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>A device's context, its queue and the kernels built for it. Lives as long as the process.</summary>
internal sealed unsafe class OpenClQueue
{
    private static readonly ConcurrentDictionary<int, Lazy<OpenClQueue>> Queues = new();

    private readonly ConcurrentDictionary<PortableKernel, Lazy<OpenClProgram>> _programs = new();
    private readonly Lock _launch = new();
    private readonly OpenClDevice _device;
    private readonly nint _context;
    private readonly nint _queue;

    private OpenClQueue(OpenClDevice device)
    {
        _device = device;
        nint handle = device.Handle;
        int status;
        _context = clCreateContext(null, 1, &handle, 0, 0, &status);
        OpenClException.Check(status, $"{nameof(clCreateContext)} on {device}");
        _queue = clCreateCommandQueue(_context, handle, 0, &status);
        OpenClException.Check(status, $"{nameof(clCreateCommandQueue)} on {device}");
    }

    public static OpenClQueue Of(OpenClDevice device) => Queues.GetOrAdd(device.Index, _ => new(() => new(device))).Value;

    /// <summary>A queue that has not built anything yet: for tests of the cache.</summary>
    internal static OpenClQueue Fresh(OpenClDevice device) => new(device);

    /// <summary>The kernel for this device; compiled on first use.</summary>
    public OpenClProgram Program(PortableKernel kernel)
    {
        var lazy = _programs.GetOrAdd(kernel, k => new(() => OpenClProgram.Build(k, _device, _context)));
        try
        {
            return lazy.Value;
        }
        catch
        {
            // A lack of memory may pass; the next call tries again.
            _programs.TryRemove(new(kernel, lazy));
            throw;
        }
    }

    /// <summary>Runs a kernel on host arrays and waits for it.</summary>
    public void Run<A>(PortableKernel kernel, long groups, ReadOnlySpan<HostArray> arrays, in A scalars) where A : unmanaged
    {
        if (groups > int.MaxValue)
        {
            // A kernel counts them in 32 bits: later rows would be written in front of the first.
            throw new OpenClException($"{kernel.Name} of {groups} rows or blocks has more than OpenCL kernels count ({int.MaxValue}); use smaller batches.");
        }
        var program = Program(kernel);
        var buffers = new HostBuffers(this, arrays);
        if (OpenClBatch.Of(this) is { } batch)
        {
            batch.Add(buffers);
            Enqueue(kernel, program, groups, buffers, arrays, scalars);
            return;
        }
        using (buffers)
        {
            Enqueue(kernel, program, groups, buffers, arrays, scalars);
            Return([buffers]);
        }
    }

    /// <summary>Waits until the host sees what kernels wrote; for nothing where all of it stays on the device.</summary>
    public void Return(IReadOnlyList<HostBuffers> launched)
    {
        if (launched.All(buffers => buffers.StayOnDevice))
        {
            return;
        }
        try
        {
            foreach (var buffers in launched)
            {
                buffers.Map(_queue);
            }
        }
        catch
        {
            // A kernel may still be running, and its memory goes back to libtorch.
            _ = clFinish(_queue);
            throw;
        }
        OpenClException.Check(clFinish(_queue), nameof(clFinish));
    }

    private void Enqueue<A>(PortableKernel kernel, OpenClProgram program, long groups, HostBuffers buffers, ReadOnlySpan<HostArray> arrays, in A scalars) where A : unmanaged
    {
        lock (_launch)
        {
            SetArguments(program.Kernel, buffers, arrays, scalars);
            nuint global = (nuint)(groups * kernel.GroupSize), local = (nuint)kernel.GroupSize;
            OpenClException.Check(clEnqueueNDRangeKernel(_queue, program.Kernel, 1, null, &global, &local, 0, null, null), $"{kernel.Name} on {_device}");
        }
    }

    /// <summary>A buffer in the device's memory, or over the host's from <paramref name="host"/> on.</summary>
    /// <exception cref="OpenClException">The device lacks the memory.</exception>
    public nint CreateBuffer(long bytes, nint host = 0, bool isWritten = true)
    {
        if (bytes > _device.MaxAllocation)
        {
            throw new OpenClException($"A tensor of {bytes / 1e6:f0} MB is larger than {_device} can hold at once ({_device.MaxAllocation / 1e6:f0} MB); use smaller batches.");
        }
        int status;
        ulong flags = (isWritten ? ReadWrite : ReadOnly) | (host == 0 ? 0 : UseHostPointer);
        nint handle = clCreateBuffer(_context, flags, (nuint)bytes, (void*)host, &status);
        OpenClException.Check(status, nameof(clCreateBuffer));
        return handle;
    }

    /// <summary>Copies host memory to a buffer.</summary>
    public void Upload(nint buffer, nint from, long bytes) =>
        OpenClException.Check(clEnqueueWriteBuffer(_queue, buffer, Blocking, 0, (nuint)bytes, (void*)from, 0, null, null), nameof(clEnqueueWriteBuffer));

    /// <summary>Waits for the kernels before, and copies a buffer to the host.</summary>
    public void Download(nint buffer, nint to, long bytes) =>
        OpenClException.Check(clEnqueueReadBuffer(_queue, buffer, Blocking, 0, (nuint)bytes, (void*)to, 0, null, null), nameof(clEnqueueReadBuffer));

    // In ILGPU's order: the buffers of all views, then offset and length of each, then the struct of scalars.
    private static void SetArguments<A>(nint kernel, HostBuffers buffers, ReadOnlySpan<HostArray> arrays, in A scalars) where A : unmanaged
    {
        uint index = 0;
        for (int i = 0; i < arrays.Length; i++)
        {
            Set(kernel, index++, buffers[i].Buffer);
        }
        for (int i = 0; i < arrays.Length; i++)
        {
            Set(kernel, index++, new View { Offset = buffers[i].Offset, Length = arrays[i].Length });
        }
        Set(kernel, index, scalars);
    }

    private static void Set<V>(nint kernel, uint index, V value) where V : unmanaged =>
        OpenClException.Check(clSetKernelArg(kernel, index, (nuint)sizeof(V), &value), nameof(clSetKernelArg));

    private struct View
    {
        public int Offset;
        public long Length;
    }
}
