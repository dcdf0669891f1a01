using System.Numerics;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace SailVit.Model.Distributed;

/// <summary>Replicas that mpirun started, on one machine or many, over Open MPI.</summary>
/// <remarks>Sums are made in the order of the ranks, whatever the network does: each rank gets its share of a bucket from all
/// others, adds, and hands the result round, 2·(n − 1)/n of the data each way as in a ring. Called from one thread at a time.</remarks>
public sealed unsafe class MpiReplicas : IReplicas
{
    // Large enough for the network, small enough to stay in the cache between the three steps.
    private const int BucketFloats = 1 << 20;

    private readonly OpenMpi _mpi = new();
    private readonly float* _bucket, _received;
    private readonly int _share;
    private bool _left;

    /// <summary>Joins the job.</summary>
    /// <exception cref="PlatformNotSupportedException">Open MPI's library is not found, or not Open MPI's.</exception>
    public MpiReplicas()
    {
        _share = (BucketFloats + _mpi.Size - 1) / _mpi.Size;
        _bucket = (float*)NativeMemory.AlignedAlloc((nuint)(_share * _mpi.Size) * sizeof(float), 64);
        _received = (float*)NativeMemory.AlignedAlloc((nuint)(_share * _mpi.Size) * sizeof(float), 64);
    }

    /// <inheritdoc/>
    public int Rank => _mpi.Rank;

    /// <inheritdoc/>
    public int Count => _mpi.Size;

    /// <inheritdoc/>
    public void AllReduceSum(IReadOnlyList<Tensor> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        var pieces = Pieces(tensors);
        int filled = 0, first = 0;
        for (int i = 0; i < pieces.Count; i++)
        {
            filled += pieces[i].Count;
            if (filled == BucketFloats || i == pieces.Count - 1)
            {
                Reduce(CollectionsMarshal.AsSpan(pieces)[first..(i + 1)], filled);
                (filled, first) = (0, i + 1);
            }
        }
    }

    private readonly record struct Piece(nint Data, int Count);

    // Tensors laid end to end and cut at bucket ends: small ones travel together, large ones in parts.
    private static List<Piece> Pieces(IReadOnlyList<Tensor> tensors)
    {
        var pieces = new List<Piece>();
        int room = BucketFloats;
        foreach (var tensor in tensors)
        {
            float* data = (float*)ReplicaTensor.Data(tensor, ScalarType.Float32);
            for (long left = tensor.numel(); left > 0;)
            {
                int count = (int)Math.Min(left, room);
                pieces.Add(new((nint)data, count));
                data += count;
                left -= count;
                room = room == count ? BucketFloats : room - count;
            }
        }
        return pieces;
    }

    private void Reduce(ReadOnlySpan<Piece> pieces, int filled)
    {
        int perRank = (filled + Count - 1) / Count;
        float* at = _bucket;
        foreach (var piece in pieces)
        {
            new ReadOnlySpan<float>((void*)piece.Data, piece.Count).CopyTo(new(at, piece.Count));
            at += piece.Count;
        }
        new Span<float>(at, (perRank * Count) - filled).Clear();
        _mpi.SleepUntilAllAreHere();
        _mpi.Exchange(_bucket, _received, perRank);
        for (int rank = 1; rank < Count; rank++)
        {
            Add(_received, _received + (rank * perRank), perRank);
        }
        _mpi.Gather(_received, _bucket, perRank);
        at = _bucket;
        foreach (var piece in pieces)
        {
            new ReadOnlySpan<float>(at, piece.Count).CopyTo(new((void*)piece.Data, piece.Count));
            at += piece.Count;
        }
    }

    private static void Add(float* sums, float* values, int count)
    {
        int i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count)
        {
            (Vector.Load(sums + i) + Vector.Load(values + i)).Store(sums + i);
        }
        for (; i < count; i++)
        {
            sums[i] += values[i];
        }
    }

    /// <inheritdoc/>
    public void Broadcast(IReadOnlyList<Tensor> tensors, int root)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        foreach (var tensor in tensors)
        {
            byte* data = (byte*)ReplicaTensor.Data(tensor, null);
            for (long left = tensor.numel() * tensor.element_size(); left > 0;)
            {
                int count = (int)Math.Min(left, 1 << 28);
                _mpi.Broadcast(data, count, root);
                data += count;
                left -= count;
            }
        }
    }

    /// <inheritdoc/>
    public double Sum(double value)
    {
        Span<double> all = stackalloc double[Count];
        _mpi.Gather(value, all);
        double sum = 0;
        foreach (double one in all)
        {
            sum += one;
        }
        return sum;
    }

    /// <inheritdoc/>
    public void Barrier() => _mpi.Barrier();

    /// <inheritdoc/>
    public void Complete()
    {
        if (!_left)
        {
            _left = true;
            _mpi.Leave();
        }
    }

    // Without Complete, this process ends without leaving the job, and mpirun ends the others.
    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(_bucket);
        NativeMemory.AlignedFree(_received);
    }
}
