using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace MyModel.Before;

public static class AttentionLayer
{
    /// <summary>x + proj(attention(norm(x))) on x [B, N, C]; gradients as with any TorchSharp op.</summary>
    public static Tensor Forward(Tensor x, Tensor gamma, Tensor beta, Tensor qkv, Tensor proj, long heads)
    {
        var (B, N, C) = (x.shape[0], x.shape[1], x.shape[2]);
        var h = linear(layer_norm(x, [C], gamma, beta), qkv).view(B, N, 3, heads, C / heads);
        var parts = h.permute(2, 0, 3, 1, 4).unbind(0); // 3 × [B, H, N, D], not copied
        var y = scaled_dot_product_attention(parts[0], parts[1], parts[2]);
        return x + linear(y.transpose(1, 2).reshape(B, N, C), proj);
    }
}
