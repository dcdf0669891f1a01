using TorchSharp;
using static TorchSharp.torch;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Language;

/// <summary>Attention of new tokens to everything that a cache holds and to themselves.</summary>
internal static class CachedAttention
{
    public static Tensor Run(Tensor q, Tensor k, Tensor v, DecoderPass pass, int layer)
    {
        using var scope = NewDisposeScope();
        var (keys, values) = pass.Cache!.Layer(layer);
        var outputs = new List<Tensor>();
        for (int s = 0; s < pass.Layout.Sequences; s++)
        {
            long first = pass.Layout.CuSeqlens[s], n = pass.Layout.Length(s), held = pass.Cache.Lengths[s];
            if (n == 0)
            {
                continue;
            }
            keys[s].narrow(0, held, n).copy_(k.narrow(0, first, n));
            values[s].narrow(0, held, n).copy_(v.narrow(0, first, n));
            var visible = n == 1 ? null : ones(n, held + n, dtype: ScalarType.Bool).tril(held);
            outputs.Add(F.attention(q.narrow(0, first, n).unsqueeze(0), keys[s].narrow(0, 0, held + n).unsqueeze(0), values[s].narrow(0, 0, held + n).unsqueeze(0), visible)[0]);
        }
        return cat(outputs, 0).MoveToOuterDisposeScope();
    }
}
