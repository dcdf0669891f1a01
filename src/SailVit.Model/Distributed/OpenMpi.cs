using System.Runtime.InteropServices;
using System.Text;

namespace SailVit.Model.Distributed;

/// <summary>The few functions of Open MPI that replicas need, called by pointer: its constants are symbols of the library.</summary>
internal sealed unsafe class OpenMpi
{
    private const int ThreadSerialized = 2, MaxErrorString = 512;

    private static readonly string[] Names = ["libmpi.so.40", "libmpi.so", "libmpi.40.dylib", "libmpi.dylib"];

    private readonly nint _library;
    private readonly nint _world, _float, _double, _byte;
    private readonly delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int> _alltoall, _allgather;
    private readonly delegate* unmanaged<void*, int, nint, int, nint, int> _broadcast;
    private readonly delegate* unmanaged<nint, int> _barrier;
    private readonly delegate* unmanaged<nint, nint*, int> _startBarrier;
    private readonly delegate* unmanaged<nint*, int*, void*, int> _test;
    private readonly delegate* unmanaged<int> _finalize;
    private readonly delegate* unmanaged<int, byte*, int*, int> _errorString;

    /// <summary>Joins the job that this process was started in.</summary>
    /// <exception cref="PlatformNotSupportedException">Open MPI is not installed.</exception>
    public OpenMpi()
    {
        nint library = 0;
        if (!Array.Exists(Names, name => NativeLibrary.TryLoad(name, out library)))
        {
            throw new PlatformNotSupportedException($"Open MPI's library was not found ({string.Join(", ", Names)}). Install it (Debian and Ubuntu: openmpi-bin), or run one process without mpirun.");
        }
        _library = library;
        _world = Symbol("ompi_mpi_comm_world");
        (_float, _double, _byte) = (Symbol("ompi_mpi_float"), Symbol("ompi_mpi_double"), Symbol("ompi_mpi_byte"));
        _alltoall = (delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int>)Symbol("MPI_Alltoall");
        _allgather = (delegate* unmanaged<void*, int, nint, void*, int, nint, nint, int>)Symbol("MPI_Allgather");
        _broadcast = (delegate* unmanaged<void*, int, nint, int, nint, int>)Symbol("MPI_Bcast");
        _barrier = (delegate* unmanaged<nint, int>)Symbol("MPI_Barrier");
        _startBarrier = (delegate* unmanaged<nint, nint*, int>)Symbol("MPI_Ibarrier");
        _test = (delegate* unmanaged<nint*, int*, void*, int>)Symbol("MPI_Test");
        _finalize = (delegate* unmanaged<int>)Symbol("MPI_Finalize");
        _errorString = (delegate* unmanaged<int, byte*, int*, int>)Symbol("MPI_Error_string");
        int provided, rank, size;
        Check(((delegate* unmanaged<void*, void*, int, int*, int>)Symbol("MPI_Init_thread"))(null, null, ThreadSerialized, &provided));
        if (provided < ThreadSerialized)
        {
            throw new PlatformNotSupportedException($"This Open MPI was built without support for threads (level {provided}, needed {ThreadSerialized}): gradients are exchanged on another thread while the backward pass goes on. Install one that has it, such as the distribution's (Debian and Ubuntu: openmpi-bin).");
        }
        // The default ends the process inside the library.
        Check(((delegate* unmanaged<nint, nint, int>)Symbol("MPI_Comm_set_errhandler"))(_world, Symbol("ompi_mpi_errors_return")));
        Check(((delegate* unmanaged<nint, int*, int>)Symbol("MPI_Comm_rank"))(_world, &rank));
        Check(((delegate* unmanaged<nint, int*, int>)Symbol("MPI_Comm_size"))(_world, &size));
        (Rank, Size) = (rank, size);
    }

    public int Rank { get; }

    public int Size { get; }

    /// <summary>Chunk j of <paramref name="send"/> goes to rank j; chunk j of <paramref name="receive"/> comes from it.</summary>
    public void Exchange(float* send, float* receive, int perRank) => Check(_alltoall(send, perRank, _float, receive, perRank, _float, _world));

    /// <summary>Everybody's chunk, in the order of ranks.</summary>
    public void Gather(float* send, float* receive, int perRank) => Check(_allgather(send, perRank, _float, receive, perRank, _float, _world));

    /// <summary>Everybody's number, in the order of ranks.</summary>
    public void Gather(double value, Span<double> receive)
    {
        fixed (double* to = receive)
        {
            Check(_allgather(&value, 1, _double, to, 1, _double, _world));
        }
    }

    public void Broadcast(void* data, int bytes, int root) => Check(_broadcast(data, bytes, _byte, root, _world));

    public void Barrier() => Check(_barrier(_world));

    /// <summary>A barrier that leaves the processor to others meanwhile: the library's own waiting keeps a core busy, which the backward
    /// pass could use (6 % of a step, two processes on two cores).</summary>
    public void SleepUntilAllAreHere()
    {
        nint request;
        int here = 0;
        Check(_startBarrier(_world, &request));
        for (Check(_test(&request, &here, null)); here == 0; Check(_test(&request, &here, null)))
        {
            Thread.Sleep(1);
        }
    }

    /// <summary>Leaves the job; waits for the others to do so.</summary>
    public void Leave() => Check(_finalize());

    private nint Symbol(string name) => NativeLibrary.TryGetExport(_library, name, out nint address)
        ? address
        : throw new PlatformNotSupportedException($"The MPI library that was found lacks {name}: it is not Open MPI. Install Open MPI, or run one process without mpirun.");

    private void Check(int status)
    {
        if (status == 0)
        {
            return;
        }
        byte* text = stackalloc byte[MaxErrorString];
        int length = 0;
        _errorString(status, text, &length);
        throw new InvalidOperationException($"MPI failed on rank {Rank}: {Encoding.UTF8.GetString(text, length)} A replica has probably died; start the job again, it goes on from the last checkpoint.");
    }
}
