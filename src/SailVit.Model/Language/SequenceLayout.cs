using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Language;

/// <summary>Sequences laid end to end without padding: the one form in which text travels ([B, N] is B sequences of N).</summary>
/// <param name="CuSeqlens">Where each sequence starts, and the end of the last: S + 1 numbers from 0 to T.</param>
/// <param name="Positions">RoPE positions, int64 [T]; they restart with each sequence.</param>
public sealed record SequenceLayout(long[] CuSeqlens, Tensor Positions)
{
    /// <summary>Number of sequences, S.</summary>
    public int Sequences => CuSeqlens.Length - 1;

    /// <summary>Number of tokens, T.</summary>
    public long Tokens => CuSeqlens[^1];

    /// <summary>A layout of sequences of these lengths, each counted from position 0.</summary>
    /// <exception cref="ArgumentException">There is no sequence, or one of no token.</exception>
    public static SequenceLayout Of(params IReadOnlyList<int> lengths)
    {
        ArgumentNullException.ThrowIfNull(lengths);
        if (lengths.Count == 0 || lengths.Any(n => n < 1))
        {
            throw new ArgumentException($"lengths are [{string.Join(", ", lengths)}]; there must be at least one sequence, each of at least one token.", nameof(lengths));
        }
        return After([.. lengths.Select(_ => 0L)], lengths);
    }

    /// <summary>New tokens of sequences of which a cache holds the beginnings.</summary>
    /// <param name="held">Tokens held, per sequence.</param>
    /// <param name="lengths">New tokens, per sequence; 0 for one that gets none.</param>
    public static SequenceLayout After(IReadOnlyList<long> held, IReadOnlyList<int> lengths)
    {
        ArgumentNullException.ThrowIfNull(held);
        ArgumentNullException.ThrowIfNull(lengths);
        ArgumentOutOfRangeException.ThrowIfNotEqual(held.Count, lengths.Count);
        long[] cuSeqlens = new long[lengths.Count + 1];
        for (int i = 0; i < lengths.Count; i++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(lengths[i], nameof(lengths));
            cuSeqlens[i + 1] = cuSeqlens[i] + lengths[i];
        }
        long[] positions = [.. lengths.SelectMany((n, s) => Enumerable.Range(0, n).Select(i => held[s] + i))];
        return new SequenceLayout(cuSeqlens, torch.tensor(positions, dtype: ScalarType.Int64));
    }

    /// <summary>Tokens of one sequence.</summary>
    public long Length(int sequence) => CuSeqlens[sequence + 1] - CuSeqlens[sequence];
}
