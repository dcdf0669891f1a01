using static TorchSharp.torch;

namespace SailVit.Model.Distributed;

/// <summary>The processes that train copies of one model on different data.</summary>
/// <remarks>Every member is collective: all replicas call it in the same order, and it returns on all of them with the same result.</remarks>
public interface IReplicas : IDisposable
{
    /// <summary>Number of this replica, from 0.</summary>
    int Rank { get; }

    /// <summary>How many there are.</summary>
    int Count { get; }

    /// <summary>Replaces each tensor by its sum over all replicas, added in the order of their ranks.</summary>
    /// <param name="tensors">float32, contiguous, the same shapes in the same order everywhere.</param>
    void AllReduceSum(IReadOnlyList<Tensor> tensors);

    /// <summary>Replaces each tensor by that of the replica <paramref name="root"/>.</summary>
    void Broadcast(IReadOnlyList<Tensor> tensors, int root);

    /// <summary>The sum of one number over all replicas, added in the order of their ranks.</summary>
    double Sum(double value);

    /// <summary>Returns when all replicas have come here.</summary>
    void Barrier();

    /// <summary>The work is done: leaves the others in good order. A replica that ends without it failed, and whoever started
    /// the replicas ends the others.</summary>
    void Complete();
}

/// <summary>One process that trains alone.</summary>
public sealed class SingleReplica : IReplicas
{
    /// <inheritdoc/>
    public int Rank => 0;

    /// <inheritdoc/>
    public int Count => 1;

    /// <inheritdoc/>
    public void AllReduceSum(IReadOnlyList<Tensor> tensors) { }

    /// <inheritdoc/>
    public void Broadcast(IReadOnlyList<Tensor> tensors, int root) { }

    /// <inheritdoc/>
    public double Sum(double value) => value;

    /// <inheritdoc/>
    public void Barrier() { }

    /// <inheritdoc/>
    public void Complete() { }

    /// <inheritdoc/>
    public void Dispose() { }
}
