using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Encoders;

/// <summary>What an encoder gives for a batch of images.</summary>
/// <param name="Last">Last hidden state, after the final norm where the model has one, [B, N, C].</param>
/// <param name="Hidden">The hidden states asked for, by index; see <see cref="VisionTransformer.Encode"/>.</param>
public sealed record EncoderOutput(Tensor Last, IReadOnlyDictionary<int, Tensor> Hidden) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Last.Dispose();
        foreach (var hidden in Hidden.Values)
        {
            hidden.Dispose();
        }
    }
}
