using SailVit.Model.Encoders;

namespace SailVit.Model.Multimodal;

/// <summary>Low-rank adapters: how wide, how strong, on which layers.</summary>
/// <param name="Rank">r.</param>
/// <param name="Alpha">An adapter is scaled by alpha / r.</param>
/// <param name="Targets">Ends of the names of the layers that get one, such as <c>self_attn.q_proj</c>.</param>
/// <remarks>Without dropout. Source: Hu et al. 2021, arXiv 2106.09685; targets and alpha = 2·r as in InternVL.</remarks>
public sealed record LoraConfig(int Rank, double Alpha, IReadOnlyList<string> Targets)
{
    /// <summary>InternVL's targets in an encoder, and the up projection of a SwiGLU beside them.</summary>
    public static LoraConfig ForEncoder(int rank, EncoderConfig encoder)
    {
        ArgumentNullException.ThrowIfNull(encoder);
        string[] targets = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"];
        return new(rank, 2.0 * rank, encoder.Mlp == MlpKind.SwiGlu ? [.. targets, "mlp.fc3"] : targets);
    }

    /// <summary>InternVL's targets in a Qwen language model.</summary>
    public static LoraConfig ForLanguage(int rank) =>
        new(rank, 2.0 * rank, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"]);
}
