using SailVit.Model.Encoders;
using SailVit.Model.Images;
using SailVit.Model.Multimodal;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Evaluation;

/// <summary>The tokens of a few images, all in one matrix.</summary>
public static class ImageTokens
{
    /// <summary>The last hidden state of an encoder, final norm included where it has one; a class token is left out.</summary>
    /// <param name="encoder">The encoder; images are resized to its size.</param>
    /// <param name="paths">Image files.</param>
    /// <param name="done">Called after each image with 1.</param>
    /// <param name="cancel">Looked at between images.</param>
    /// <returns>[images · N, C] float32.</returns>
    public static Tensor Of(VisionTransformer encoder, IEnumerable<string> paths, Action<int>? done = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(encoder);
        var config = encoder.Config;
        var dtype = encoder.parameters().First().dtype;
        return Collect(paths, new ImageTransform(config.ImageHeight, config.ImageWidth), pixels =>
        {
            var tokens = encoder.call(pixels.to(dtype));
            return (config.ClassToken ? tokens.narrow(1, 1, tokens.shape[1] - 1) : tokens).flatten(0, 1);
        }, done, cancel);
    }

    /// <summary>What the connector hands to the language model, one tile per image.</summary>
    /// <returns>[images · tokens per tile, C of the language model] float32.</returns>
    /// <inheritdoc cref="Of(VisionTransformer, IEnumerable{string}, Action{int}, CancellationToken)"/>
    /// <param name="model">The multimodal model.</param>
    /// <param name="paths">Image files.</param>
    /// <param name="done">Called after each image with 1.</param>
    /// <param name="cancel">Looked at between images.</param>
    public static Tensor OfConnector(MultimodalModel model, IEnumerable<string> paths, Action<int>? done = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        int size = model.Config.ForceImageSize;
        var dtype = model.Vision.parameters().First().dtype;
        return Collect(paths, new ImageTransform(size, size), pixels => model.EncodeImages(pixels.to(dtype)), done, cancel);
    }

    private static Tensor Collect(IEnumerable<string> paths, ImageTransform transform, Func<Tensor, Tensor> encode, Action<int>? done, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(paths);
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var parts = new List<Tensor>();
        foreach (string path in paths)
        {
            cancel.ThrowIfCancellationRequested();
            using var inner = NewDisposeScope();
            parts.Add(encode(transform.ToFloats(ImageDecoder.Decode(path))).to(float32).MoveToOuterDisposeScope());
            done?.Invoke(1);
        }
        return parts.Count > 0 ? cat(parts).MoveToOuterDisposeScope() : throw new ArgumentException("There is no image.", nameof(paths));
    }
}
