using SailVit.Model.Data;

namespace SailVit.Model.Training;

/// <summary>Where a trainer's batches come from: endless, deterministic, and able to go on from any batch.</summary>
public interface IBatchSource : IDisposable
{
    /// <summary>The next batch; the caller disposes it.</summary>
    PackedBatch Next();

    /// <summary>Where the stream stands after the batches handed out, as JSON.</summary>
    string SaveState();

    /// <summary>Goes on from where the sources of all replicas stood together.</summary>
    /// <param name="states">In the order of their ranks; there may have been more or fewer of them than now.</param>
    void RestoreState(IReadOnlyList<string> states);
}
