using System.Globalization;

namespace SailVit.Model.Distributed;

/// <summary>How processes that train together reach each other.</summary>
public enum ReplicaKind
{
    /// <summary>As the process was started: by Open MPI's mpirun over MPI, else alone.</summary>
    Auto,

    /// <summary>Over Open MPI, whoever started the process.</summary>
    Mpi,
}

/// <summary>The job that this process is one of, as its launcher describes it.</summary>
public static class ReplicaJob
{
    // Set by Open MPI's mpirun in each process.
    private const string MpiSize = "OMPI_COMM_WORLD_SIZE", MpiRank = "OMPI_COMM_WORLD_RANK", MpiLocalSize = "OMPI_COMM_WORLD_LOCAL_SIZE";

    // Set by launchers that this process does not understand: the mpirun of MPICH and Intel MPI, Slurm's srun.
    private static readonly string[] ForeignSizes = ["PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

    /// <summary>Number of this process in its job, 0 where it is alone. Known before it joins the others.</summary>
    public static int Rank => Number(MpiRank) ?? 0;

    /// <summary>Processes of the job on this machine.</summary>
    public static int OnThisMachine => Number(MpiLocalSize) ?? 1;

    /// <summary>Joins the processes that were started together.</summary>
    /// <param name="kind">How to reach them.</param>
    /// <exception cref="PlatformNotSupportedException">A launcher started several processes, but they cannot be joined.</exception>
    public static IReplicas Join(ReplicaKind kind = ReplicaKind.Auto)
    {
        if (kind == ReplicaKind.Mpi || Number(MpiSize) > 1)
        {
            var replicas = new MpiReplicas();
            return replicas.Count == (Number(MpiSize) ?? replicas.Count) ? replicas
                : throw new PlatformNotSupportedException($"mpirun started {Number(MpiSize)} processes, but the MPI library that was found joins {replicas.Count}: it is not that mpirun's. Make both of one installation (PATH, LD_LIBRARY_PATH).");
        }
        return Number(MpiSize) is null && Array.Find(ForeignSizes, name => Number(name) > 1) is { } foreign
            ? throw new PlatformNotSupportedException($"{Number(foreign)} processes were started ({foreign}), but not by Open MPI's mpirun: each would train alone. Start them with Open MPI's mpirun, or say mpi where the launcher serves Open MPI.")
            : new SingleReplica();
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
}
