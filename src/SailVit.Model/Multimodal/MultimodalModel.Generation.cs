using SailVit.Model.Images;
using SailVit.Model.Language;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Multimodal;

/// <summary>A question with its images.</summary>
/// <param name="Ids">Token ids; image places hold the image-context token id.</param>
/// <param name="Pixels">[tiles, 3, H, W], uint8 or normalised floats, in the order of their places; null without images.</param>
/// <param name="Images">Instead of tiles: images at their own size, each [3, H, W], of the size that <see cref="MultimodalModel.AnyResFit"/> says.</param>
public sealed record MultimodalPrompt(IReadOnlyList<int> Ids, Tensor? Pixels = null, IReadOnlyList<Tensor>? Images = null);

public sealed partial class MultimodalModel
{
    /// <summary>A question with its images as this model takes them.</summary>
    /// <param name="ids">Token ids; image places hold the image-context token id.</param>
    /// <param name="pieces">Of all images, from <see cref="MultimodalConfig.Split(int?)"/>.</param>
    public MultimodalPrompt Prompt(IReadOnlyList<int> ids, IReadOnlyList<RgbImage> pieces)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        Tensor Bytes(params IReadOnlyList<RgbImage> images) => new ImageTransform(images[0].Height, images[0].Width).ToBytes(images);
        return pieces.Count == 0 ? new(ids) : Config.AnyRes is null ? new(ids, Bytes(pieces)) : new(ids, Images: [.. pieces.Select(image => Bytes(image).squeeze_(0))]);
    }

    /// <summary>Answers questions about images, several at once.</summary>
    /// <param name="prompts">The questions.</param>
    /// <param name="options">How.</param>
    /// <param name="onToken">Told of each token as it is chosen: which prompt, which token.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="ArgumentException">Images and places differ in number, or a prompt is empty or too long for the model.</exception>
    public IReadOnlyList<GeneratedSequence> Generate(IReadOnlyList<MultimodalPrompt> prompts, GenerationOptions options, Action<int, int>? onToken = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        return TextGenerator.Generate(Language, [.. prompts.Select(p => p.Ids)], ids => Embed(ids, Images(prompts)), options, onToken, cancellation);
    }

    private Tensor? Images(IReadOnlyList<MultimodalPrompt> prompts)
    {
        var embeddings = prompts.Where(p => p.Pixels is not null || p.Images is { Count: > 0 })
            .Select(p => p.Pixels is { } tiles ? EncodeImages(tiles) : EncodeImages(p.Images!)).ToList();
        return embeddings.Count switch { 0 => null, 1 => embeddings[0], _ => cat(embeddings, 0) };
    }
}
