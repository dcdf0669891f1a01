using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Language;

/// <summary>Keys and values of the tokens that a language model has seen, for several sequences.</summary>
/// <remarks>Memory for all of them is taken at once: 2 · layers · sequences · capacity · KvHeads · HeadDim elements.
/// For inference only; no gradient flows through it.</remarks>
public sealed class KvCache : IDisposable
{
    private readonly Tensor[] _keys;
    private readonly Tensor[] _values;
    private readonly long[] _lengths;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="config">The model's architecture.</param>
    /// <param name="sequences">Sequences, S.</param>
    /// <param name="capacity">Tokens per sequence, prompt and answer together; at most the model's positions.</param>
    /// <param name="dtype">Of the model that will use it.</param>
    /// <exception cref="ArgumentException">The capacity exceeds the positions that the model was made for.</exception>
    public KvCache(LanguageConfig config, int sequences, long capacity, ScalarType dtype = ScalarType.Float32)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfLessThan(sequences, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        if (capacity > config.MaxPositions)
        {
            throw new ArgumentException($"capacity is {capacity} tokens; this model has {config.MaxPositions} positions. Shorten the prompt or the answer.", nameof(capacity));
        }
        Capacity = capacity;
        DType = dtype;
        _lengths = new long[sequences];
        // [S, Hkv, M, D]: the keys of one head lie in one piece, as attention reads them.
        Tensor Make() => empty([sequences, config.KvHeads, capacity, config.HeadDim], dtype: dtype).transpose(1, 2).DetachFromDisposeScope();
        _keys = [.. Enumerable.Range(0, config.Layers).Select(_ => Make())];
        _values = [.. Enumerable.Range(0, config.Layers).Select(_ => Make())];
    }

    /// <summary>Tokens that fit in one sequence.</summary>
    public long Capacity { get; }

    /// <summary>Of keys and values.</summary>
    public ScalarType DType { get; }

    /// <summary>Number of sequences.</summary>
    public int Sequences => _lengths.Length;

    /// <summary>Tokens held, per sequence.</summary>
    public IReadOnlyList<long> Lengths => _lengths;

    /// <summary>Forgets what follows the first <paramref name="length"/> tokens of a sequence.</summary>
    public void Truncate(int sequence, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, _lengths[sequence]);
        _lengths[sequence] = length;
    }

    /// <summary>Keys and values of a layer, [S, M, Hkv, D].</summary>
    internal (Tensor Keys, Tensor Values) Layer(int layer) => (_keys[layer], _values[layer]);

    /// <exception cref="ArgumentException">The layout has other sequences, or tokens that do not fit.</exception>
    internal void ThrowIfUnfit(SequenceLayout layout)
    {
        if (layout.Sequences != Sequences)
        {
            throw new ArgumentException($"the layout has {layout.Sequences} sequences, the cache {Sequences}; a sequence without new tokens has length 0.", nameof(layout));
        }
        for (int s = 0; s < Sequences; s++)
        {
            if (_lengths[s] + layout.Length(s) > Capacity)
            {
                throw new ArgumentException($"sequence {s} holds {_lengths[s]} tokens and gets {layout.Length(s)} more; the cache has room for {Capacity}.", nameof(layout));
            }
        }
    }

    /// <summary>Counts the new tokens, after all layers have stored them.</summary>
    internal void Advance(SequenceLayout layout)
    {
        for (int s = 0; s < Sequences; s++)
        {
            _lengths[s] += layout.Length(s);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Array.ForEach(_keys, t => t.Dispose());
        Array.ForEach(_values, t => t.Dispose());
    }
}
