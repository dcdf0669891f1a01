using System.Numerics;

namespace SailVit.Model.Data;

/// <summary>A pseudo-random order of n things that takes no memory, so that a place in it is all that must be remembered.</summary>
/// <remarks>A Feistel network over the next even power of two, walked until it lands below n. Source: Black and Rogaway 2002, §4.</remarks>
internal readonly struct Permutation
{
    private const int Rounds = 6;

    private readonly long _count;
    private readonly ulong _seed;
    private readonly int _halfBits;

    public Permutation(long count, ulong seed)
    {
        _count = count;
        _seed = seed;
        int bits = count <= 1 ? 0 : 64 - BitOperations.LeadingZeroCount((ulong)(count - 1));
        _halfBits = Math.Max((bits + 1) / 2, 1);
    }

    /// <summary>Which thing comes at a place.</summary>
    public long this[long place]
    {
        get
        {
            // At least a quarter of the places lie below n, so a walk ends after four steps on average at worst.
            ulong value = (ulong)place;
            do
            {
                value = Encrypt(value);
            }
            while (value >= (ulong)_count);
            return (long)value;
        }
    }

    /// <summary>Mixes numbers into one that looks random (the finaliser of SplitMix64).</summary>
    public static ulong Hash(params ReadOnlySpan<ulong> values)
    {
        ulong hash = 0x9E3779B97F4A7C15;
        foreach (ulong value in values)
        {
            hash = (hash ^ value) + 0x9E3779B97F4A7C15;
            hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
            hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
            hash ^= hash >> 31;
        }
        return hash;
    }

    private ulong Encrypt(ulong value)
    {
        ulong mask = (1UL << _halfBits) - 1, left = value >> _halfBits, right = value & mask;
        for (ulong round = 0; round < Rounds; round++)
        {
            (left, right) = (right, left ^ (Hash(_seed, round, right) & mask));
        }
        return (left << _halfBits) | right;
    }
}
