using SailVit.Kernels.Ops.Attention;
using static TorchSharp.torch;

namespace SailVit.Kernels;

public static partial class functional
{
    private static readonly string[] SeparateNames = ["query", "key", "value"];
    private static readonly string[] PackedNames = ["qkv"];

    /// <summary>softmax(scale·Q·Kᵀ + mask)·V per head, on tokens as linear layers leave them.</summary>
    /// <param name="query">[B, Nq, H, D] on the CPU; float32, bfloat16 or float16. Any strides; read in place.</param>
    /// <param name="key">[B, Nk, Hkv, D]; H must be a multiple of Hkv: query head h uses key head h / (H / Hkv).</param>
    /// <param name="value">[B, Nk, Hkv, D].</param>
    /// <param name="attn_mask">Broadcastable to [B, H, Nq, Nk]. Boolean: true = attend. Floating-point: added to the scaled
    /// scores, in the query's dtype or float32; has a gradient of its own shape.</param>
    /// <param name="is_causal">Query i attends to keys 0 … i: aligned at the top left also where Nq ≠ Nk, as torch does.
    /// Combines with a mask.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>[B, Nq, H, D], row-major, in the query's dtype.</returns>
    /// <exception cref="ArgumentException">A shape, dtype or device does not agree; the message names both sides.</exception>
    /// <remarks>
    /// Scores exist in blocks only: memory is proportional to Nq + Nk, also in backward. Arithmetic is float32.
    /// A query that may attend to nothing gives 0, with zero gradients. Results do not depend on the number of threads.
    /// Training keeps the inputs, the output and two floats per query and head.
    /// Source: Dao et al. 2022 (FlashAttention); Milakov and Gimelshein 2018 (online softmax).
    /// </remarks>
    public static Tensor attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask = null, bool is_causal = false, double? scale = null) =>
        Attend(AttentionLayout.RowsThenHeads, false, is_causal, scale, query, key, value, attn_mask)[0];

    /// <summary><see cref="attention"/>, which also returns the log-sum-exp of each row of scores.</summary>
    /// <param name="query">[B, Nq, H, D].</param>
    /// <param name="key">[B, Nk, Hkv, D].</param>
    /// <param name="value">[B, Nk, Hkv, D].</param>
    /// <param name="attn_mask">Broadcastable to [B, H, Nq, Nk].</param>
    /// <param name="is_causal">Query i attends to keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>The output, and [B, H, Nq] float32 in natural logarithms, differentiable; −∞ for a query that may attend to nothing.</returns>
    public static (Tensor output, Tensor lse) attention_with_lse(Tensor query, Tensor key, Tensor value, Tensor? attn_mask = null, bool is_causal = false, double? scale = null) =>
        Pair(Attend(AttentionLayout.RowsThenHeads, true, is_causal, scale, query, key, value, attn_mask));

    /// <summary><see cref="attention"/> on heads before rows: the signature of torch.nn.functional, TorchSharp's spelling.</summary>
    /// <param name="query">[B, H, Nq, D], or [B, Nq, D] for one head.</param>
    /// <param name="key">[B, Hkv, Nk, D], or [B, Nk, D].</param>
    /// <param name="value">As the key.</param>
    /// <param name="attn_mask">Broadcastable to [B, H, Nq, Nk] ([B, Nq, Nk] for one head). Boolean: true = attend.</param>
    /// <param name="p">Dropout of probabilities; only 0 is supported.</param>
    /// <param name="is_casual">Query i attends to keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <param name="enable_gqa">Allows fewer key heads than query heads.</param>
    /// <returns>[B, H, Nq, D], row-major.</returns>
    /// <exception cref="NotSupportedException">p is not 0.</exception>
    public static Tensor scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask = null, double p = 0.0, bool is_casual = false, double? scale = null, bool enable_gqa = false) =>
        ScaledDotProduct(false, query, key, value, attn_mask, p, is_casual, scale, enable_gqa)[0];

    /// <summary><see cref="scaled_dot_product_attention"/>, which also returns the log-sum-exp.</summary>
    /// <param name="query">[B, H, Nq, D], or [B, Nq, D] for one head.</param>
    /// <param name="key">[B, Hkv, Nk, D], or [B, Nk, D].</param>
    /// <param name="value">As the key.</param>
    /// <param name="attn_mask">Broadcastable to [B, H, Nq, Nk].</param>
    /// <param name="p">Dropout of probabilities; only 0 is supported.</param>
    /// <param name="is_casual">Query i attends to keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <param name="enable_gqa">Allows fewer key heads than query heads.</param>
    /// <returns>The output, and [B, H, Nq] ([B, Nq] for one head) float32 in natural logarithms.</returns>
    public static (Tensor output, Tensor lse) scaled_dot_product_attention_with_lse(Tensor query, Tensor key, Tensor value, Tensor? attn_mask = null, double p = 0.0, bool is_casual = false, double? scale = null, bool enable_gqa = false) =>
        Pair(ScaledDotProduct(true, query, key, value, attn_mask, p, is_casual, scale, enable_gqa));

    /// <summary><see cref="attention"/> on the output of one fused projection. Backward writes one packed gradient.</summary>
    /// <param name="qkv">[B, N, 3, H, D]: queries, keys, values. Any strides; read in place.</param>
    /// <param name="attn_mask">Broadcastable to [B, H, N, N].</param>
    /// <param name="is_causal">Query i attends to keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>[B, N, H, D], row-major.</returns>
    public static Tensor attention_qkvpacked(Tensor qkv, Tensor? attn_mask = null, bool is_causal = false, double? scale = null) =>
        AttendPacked(false, qkv, attn_mask, is_causal, scale)[0];

    /// <summary><see cref="attention_qkvpacked"/>, which also returns the log-sum-exp.</summary>
    /// <param name="qkv">[B, N, 3, H, D].</param>
    /// <param name="attn_mask">Broadcastable to [B, H, N, N].</param>
    /// <param name="is_causal">Query i attends to keys 0 … i.</param>
    /// <param name="scale">Factor on Q·Kᵀ; null: 1/√D.</param>
    /// <returns>The output, and [B, H, N] float32 in natural logarithms.</returns>
    public static (Tensor output, Tensor lse) attention_qkvpacked_with_lse(Tensor qkv, Tensor? attn_mask = null, bool is_causal = false, double? scale = null) =>
        Pair(AttendPacked(true, qkv, attn_mask, is_causal, scale));

    private static Tensor[] Attend(AttentionLayout layout, bool withLse, bool causal, double? scale, Tensor query, Tensor key, Tensor value, Tensor? mask) =>
        AttentionFunction.Run(new AttentionCall { Layout = layout, Causal = causal, Scale = scale, WithLse = withLse }, SeparateNames, query, key, value, mask);

    private static Tensor[] AttendPacked(bool withLse, Tensor qkv, Tensor? mask, bool causal, double? scale) =>
        AttentionFunction.Run(new AttentionCall { Layout = AttentionLayout.Packed, Causal = causal, Scale = scale, WithLse = withLse }, PackedNames, qkv, mask);

    private static Tensor[] ScaledDotProduct(bool withLse, Tensor query, Tensor key, Tensor value, Tensor? mask, double p, bool causal, double? scale, bool grouped)
    {
        if (p != 0)
        {
            throw new NotSupportedException($"p is {p}; the fused kernel has no dropout of probabilities. Pass 0 (in evaluation torch ignores it too), or use torch.nn.functional.scaled_dot_product_attention.");
        }
        Tensors.Check.View(query);
        Tensors.Check.View(key);
        Tensors.Check.View(value);
        if (query.dim() == 3 && key.dim() == 3 && value.dim() == 3)
        {
            using var scope = NewDisposeScope();
            var perHead = mask is { IsInvalid: false } && mask.dim() == 3 ? mask.unsqueeze(1) : mask;
            var results = Attend(AttentionLayout.HeadsThenRows, withLse, causal, scale, query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1), perHead);
            return Array.ConvertAll(results, r => r.squeeze(1).MoveToOuterDisposeScope());
        }
        if (!grouped && query.dim() == 4 && key.dim() == 4 && query.shape[1] != key.shape[1])
        {
            throw new ArgumentException($"key has {key.shape[1]} heads, query {query.shape[1]}; they must be the same, or enable_gqa true.", nameof(key));
        }
        return Attend(AttentionLayout.HeadsThenRows, withLse, causal, scale, query, key, value, mask);
    }

    private static (Tensor, Tensor) Pair(Tensor[] results) => (results[0], results[1]);
}
