using SailVit.Kernels.Dispatch;
using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Attention;
using SailVit.Kernels.Tensors;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary>Causal attention of new tokens to all that a cache holds and to themselves; stores their keys and values in it.</summary>
    /// <param name="query">[T, H, D] on the CPU: the new tokens of all sequences; float32, bfloat16 or float16. Any strides.</param>
    /// <param name="key">[T, Hkv, D]; H must be a multiple of Hkv.</param>
    /// <param name="value">[T, Hkv, D].</param>
    /// <param name="key_cache">[S, M, Hkv, D], room for M keys per sequence; written in place. Channels must be adjacent.</param>
    /// <param name="value_cache">[S, M, Hkv, D].</param>
    /// <param name="cu_seqlens">S + 1 offsets: sequence s has the new tokens cu[s] … cu[s + 1] − 1; none is allowed.</param>
    /// <param name="cache_seqlens">Keys held, per sequence. The new ones follow them.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>[T, H, D], row-major: new token i of a sequence attends to its keys 0 … held + i.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or length does not fit; the message says which. Nothing was written.</exception>
    /// <exception cref="InvalidOperationException">A gradient is wanted; a cache is for inference.</exception>
    /// <remarks>Few new tokens read keys and values once, where they lie; long prompts take <see cref="attention_varlen"/>'s path.
    /// Float32 arithmetic; results do not depend on the number of threads. Source: Dao 2023, flash_attn_with_kvcache.</remarks>
    public static Tensor attention_kvcache_(Tensor query, Tensor key, Tensor value, Tensor key_cache, Tensor value_cache, IReadOnlyList<long> cu_seqlens, IReadOnlyList<long> cache_seqlens, double? scale = null)
    {
        if (is_grad_enabled() && (query.requires_grad || key.requires_grad || value.requires_grad))
        {
            throw new InvalidOperationException("attention_kvcache_ has no gradient: call it under torch.no_grad(), or train with attention_varlen.");
        }
        var call = KvCacheCall.Check(query, key, value, key_cache, value_cache, cu_seqlens, cache_seqlens, scale);
        return KvCacheOp.Run(call, query, key, value, key_cache, value_cache);
    }
}

/// <summary>Sizes and options of one call, checked.</summary>
internal sealed record KvCacheCall(long[] CuSeqlens, long[] Held, long Heads, long KvHeads, int Width, double Scale)
{
    public int Sequences => Held.Length;

    public long Tokens(int sequence) => CuSeqlens[sequence + 1] - CuSeqlens[sequence];

    public static KvCacheCall Check(Tensor query, Tensor key, Tensor value, Tensor keyCache, Tensor valueCache, IReadOnlyList<long> cu, IReadOnlyList<long> held, double? scale)
    {
        var q = Tensors.Check.Float(query);
        Tensors.Check.Rank(q, 3, nameof(query), "[T, H, D]");
        Dispatcher.For(q, nameof(query));
        var k = Tensors.Check.Float(key);
        Tensors.Check.Rank(k, 3, nameof(key), "[T, Hkv, D]");
        var cache = Tensors.Check.Float(keyCache, "key_cache");
        Tensors.Check.Rank(cache, 4, "key_cache", "[S, M, Hkv, D]");
        Tensors.Check.Shape(k, [q.Size(0), cache.Size(2), q.Size(2)], nameof(key));
        Tensors.Check.Shape(Tensors.Check.Float(value), k.Sizes, nameof(value));
        Tensors.Check.Shape(cache, [cache.Size(0), cache.Size(1), k.Size(1), k.Size(2)], "key_cache");
        var values = Tensors.Check.Float(valueCache, "value_cache");
        Tensors.Check.Shape(values, cache.Sizes, "value_cache");
        Tensors.Check.SameDType(k, q, nameof(key), nameof(query));
        Tensors.Check.SameDType(Tensors.Check.Float(value), q, nameof(value), nameof(query));
        Tensors.Check.SameDType(cache, q, "key_cache", nameof(query));
        Tensors.Check.SameDType(values, q, "value_cache", nameof(query));
        if (q.Size(2) is 0 or > AttentionCall.MaxWidth || k.Size(1) == 0 || q.Size(1) % k.Size(1) != 0)
        {
            Tensors.Check.Throw(nameof(query), $"has shape {Tensors.Check.Show(q.Sizes)}; heads must be a multiple of the {k.Size(1)} key heads, of 1 to {AttentionCall.MaxWidth} channels.");
        }
        if (cache.Stride(3) != 1 || values.Stride(3) != 1)
        {
            Tensors.Check.Throw("key_cache", "or value_cache has channels that are not adjacent; the last dimension must have stride 1.");
        }
        if (scale is { } factor && !double.IsFinite(factor))
        {
            throw new ArgumentException($"scale is {factor}; it must be finite. Pass null for 1/√D.", nameof(scale));
        }
        var call = new KvCacheCall([.. cu], [.. held], q.Size(1), k.Size(1), (int)q.Size(2), scale ?? 1 / Math.Sqrt(q.Size(2)));
        call.CheckLengths(q.Size(0), cache.Size(0), cache.Size(1));
        return call;
    }

    private void CheckLengths(long tokens, long sequences, long capacity)
    {
        if (Held.Length != sequences || CuSeqlens.Length != sequences + 1 || CuSeqlens[0] != 0 || CuSeqlens[^1] != tokens)
        {
            throw new ArgumentException($"cu_seqlens has {CuSeqlens.Length} entries from {CuSeqlens.FirstOrDefault()} to {CuSeqlens.LastOrDefault()}, cache_seqlens {Held.Length}; for {sequences} sequences and {tokens} tokens there must be {sequences + 1} from 0 to {tokens}, and {sequences}.");
        }
        for (int s = 0; s < Held.Length; s++)
        {
            if (Held[s] < 0 || Tokens(s) < 0 || Tokens(s) > capacity - Held[s])
            {
                throw new ArgumentException($"sequence {s} holds {Held[s]} keys and gets {Tokens(s)}; neither may be negative, and the cache has room for {capacity}.");
            }
        }
    }
}
