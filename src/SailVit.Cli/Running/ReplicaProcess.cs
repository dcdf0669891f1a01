using SailVit.Model.Distributed;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>A job of one process or of several that a launcher started together. The first of them speaks for all.</summary>
internal static class ReplicaProcess
{
    // The first process has said the same by then, and the launcher ends the others.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Joins the others and does this process's part.</summary>
    /// <param name="kind">How they reach each other.</param>
    /// <param name="job">Its exit code; the token is set by Ctrl-C and a polite kill.</param>
    public static int Run(ReplicaKind kind, Func<IReplicas, CancellationToken, int> job)
    {
        using var interrupt = new Interrupt();
        try
        {
            ShareProcessors();
            using var replicas = ReplicaJob.Join(kind);
            int exit = job(replicas, interrupt.Token);
            replicas.Complete();
            return exit;
        }
        catch when (ReplicaJob.Rank > 0)
        {
            if (interrupt.Token.WaitHandle.WaitOne(Patience))
            {
                return 1;
            }
            throw;
        }
    }

    // More threads than processors would wait for each other, spinning.
    private static void ShareProcessors()
    {
        if (ReplicaJob.OnThisMachine > 1 && Environment.GetEnvironmentVariable("OMP_NUM_THREADS") is null or "")
        {
            set_num_threads(Math.Max(1, Environment.ProcessorCount / ReplicaJob.OnThisMachine));
        }
    }
}
