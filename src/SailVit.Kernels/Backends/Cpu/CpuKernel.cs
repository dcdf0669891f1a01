using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>A piece of work over a range of items (rows, tiles), one body for every vector width.</summary>
/// <remarks>Implemented by a struct whose fields are the kernel's arguments.</remarks>
internal interface ICpuKernel
{
    /// <summary>Processes items [begin, end). Called on several threads at once with disjoint ranges.</summary>
    void Run<S, V>(long begin, long end) where S : struct, ISimd<V> where V : unmanaged;
}

/// <summary>Runs kernels on libtorch's own thread pool, whose threads still spin after the last torch op.</summary>
internal static unsafe class CpuBackend
{
    /// <summary>Threads that libtorch uses for one op (torch.set_num_threads).</summary>
    public static int Threads
    {
        get
        {
            uint count;
            return Shim.torch_get_num_threads(&count) == 0 ? (int)count : Environment.ProcessorCount;
        }
    }

    /// <summary>Runs <paramref name="kernel"/> over [0, count) at this thread's vector width, in equal ranges: one
    /// per thread, or one per <paramref name="grain"/> items where those are fewer. An exception in a range is thrown here
    /// after all ranges have ended.</summary>
    public static void Run<K>(K kernel, long count, long grain) where K : unmanaged, ICpuKernel
    {
        if (count <= 0)
        {
            return;
        }
        var width = Cpu.Width;
        if (count <= grain)
        {
            Dispatch(ref kernel, width, 0, count);
            return;
        }
        // Kernel and job live on this stack, and this call returns only when every range has ended.
        var job = new Job { Invoke = &Invoke<K>, Kernel = &kernel, Width = width };
        int status = Shim.torch_parallel_for(0, count, Math.Max(grain, 1), &Range, &job);
        if (job.Failure != 0)
        {
            var handle = GCHandle.FromIntPtr(job.Failure);
            var failure = (Exception)handle.Target!;
            handle.Free();
            ExceptionDispatchInfo.Throw(failure);
        }
        if (status != 0)
        {
            throw new InvalidOperationException($"libtorch's thread pool refused the work ({count} items); see libtorch's own message on standard error.");
        }
    }

    private struct Job
    {
        public delegate*<void*, SimdWidth, long, long, void> Invoke;
        public void* Kernel;
        public SimdWidth Width;
        public nint Failure;
    }

    // Unmanaged entry points cannot be generic: the typed call goes through a managed function pointer.
    [UnmanagedCallersOnly]
    private static void Range(long begin, long end, void* context)
    {
        var job = (Job*)context;
        try
        {
            job->Invoke(job->Kernel, job->Width, begin, end);
        }
        catch (Exception e)
        {
            // An exception must not unwind through libtorch's frames. The first one is kept.
            var handle = GCHandle.Alloc(e);
            if (Interlocked.CompareExchange(ref job->Failure, GCHandle.ToIntPtr(handle), 0) != 0)
            {
                handle.Free();
            }
        }
    }

    private static void Invoke<K>(void* kernel, SimdWidth width, long begin, long end) where K : unmanaged, ICpuKernel =>
        Dispatch(ref *(K*)kernel, width, begin, end);

    private static void Dispatch<K>(ref K kernel, SimdWidth width, long begin, long end) where K : unmanaged, ICpuKernel
    {
        switch (width)
        {
            case SimdWidth.V512:
                kernel.Run<Simd512, Vector512<float>>(begin, end);
                break;
            case SimdWidth.V256:
                kernel.Run<Simd256, Vector256<float>>(begin, end);
                break;
            case SimdWidth.V128:
                kernel.Run<Simd128, Vector128<float>>(begin, end);
                break;
            default:
                kernel.Run<SimdScalar, float>(begin, end);
                break;
        }
    }
}
