using SailVit.Kernels.Interop;
using SailVit.Kernels.Ops.Attention;
using SailVit.Kernels.Tensors;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    /// <summary><see cref="attention"/> within sequences of different lengths that lie behind each other, without padding.</summary>
    /// <param name="query">[Tq, H, D]: the rows of all sequences.</param>
    /// <param name="key">[Tk, Hkv, D].</param>
    /// <param name="value">[Tk, Hkv, D].</param>
    /// <param name="cu_seqlens_q">[B + 1], int32 or int64: sequence b has the rows cu[b] … cu[b + 1] − 1. The first entry is
    /// 0, the last Tq. A sequence may be empty.</param>
    /// <param name="cu_seqlens_k">The same for keys and values.</param>
    /// <param name="is_causal">Query i of a sequence attends to its keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>[Tq, H, D], row-major.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or offset does not fit; the message says which.</exception>
    public static Tensor attention_varlen(Tensor query, Tensor key, Tensor value, Tensor cu_seqlens_q, Tensor cu_seqlens_k, bool is_causal = false, double? scale = null) =>
        AttendVarlen(false, query, key, value, cu_seqlens_q, cu_seqlens_k, is_causal, scale)[0];

    /// <summary><see cref="attention_varlen"/>, which also returns the log-sum-exp.</summary>
    /// <param name="query">[Tq, H, D].</param>
    /// <param name="key">[Tk, Hkv, D].</param>
    /// <param name="value">[Tk, Hkv, D].</param>
    /// <param name="cu_seqlens_q">[B + 1], int32 or int64.</param>
    /// <param name="cu_seqlens_k">[B + 1], int32 or int64.</param>
    /// <param name="is_causal">Query i of a sequence attends to its keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>The output, and [H, Tq] float32 in natural logarithms.</returns>
    public static (Tensor output, Tensor lse) attention_varlen_with_lse(Tensor query, Tensor key, Tensor value, Tensor cu_seqlens_q, Tensor cu_seqlens_k, bool is_causal = false, double? scale = null) =>
        Pair(AttendVarlen(true, query, key, value, cu_seqlens_q, cu_seqlens_k, is_causal, scale));

    private static Tensor[] AttendVarlen(bool withLse, Tensor query, Tensor key, Tensor value, Tensor offsetsQ, Tensor offsetsK, bool causal, double? scale)
    {
        var q = Check.Float(query);
        var k = Check.Float(key);
        Check.Rank(q, 3, nameof(query), "[T, H, D]");
        Check.Rank(k, 3, nameof(key), "[T, H, D]");
        var queryOffsets = Offsets(offsetsQ, q.Size(0), "cu_seqlens_q");
        var keyOffsets = Offsets(offsetsK, k.Size(0), "cu_seqlens_k");
        if (queryOffsets.Length != keyOffsets.Length)
        {
            Check.Throw("cu_seqlens_k", $"has {keyOffsets.Length} entries, cu_seqlens_q {queryOffsets.Length}; there must be one per sequence and one more.");
        }
        var call = new AttentionCall
        {
            Layout = AttentionLayout.Varlen,
            Causal = causal,
            Scale = scale,
            WithLse = withLse,
            QueryOffsets = queryOffsets,
            KeyOffsets = keyOffsets,
        };
        return AttentionFunction.Run(call, SeparateNames, query, key, value, null);
    }

    private static unsafe long[] Offsets(Tensor offsets, long total, string name)
    {
        var view = Check.View(offsets, name);
        if (view.DType is not (DType.Int32 or DType.Int64))
        {
            Check.Throw(name, $"has dtype {view.DType}; it must be Int32 or Int64.");
        }
        Check.Rank(view, 1, name, "[B + 1]");
        var result = new long[view.Length];
        for (int i = 0; i < result.Length; i++)
        {
            long at = i * view.Stride(0);
            result[i] = view.DType == DType.Int32 ? ((int*)view.Data)[at] : ((long*)view.Data)[at];
            if (i > 0 && result[i] < result[i - 1])
            {
                Check.Throw(name, $"falls from {result[i - 1]} to {result[i]} at entry {i}; offsets must not decrease.");
            }
        }
        if (result.Length == 0 || result[0] != 0 || result[^1] != total)
        {
            Check.Throw(name, $"is [{string.Join(", ", result.Take(8))}{(result.Length > 8 ? ", …" : "")}]; it must begin with 0 and end with the number of rows, {total}.");
        }
        return result;
    }
}
