using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Images;
using static TorchSharp.torch;

namespace SailVit.Model.Evaluation;

/// <summary>Features of a set of images with their classes; encoded once, kept in a file.</summary>
public sealed class ProbeFeatures : IDisposable
{
    private const string TokenKey = "tokens", LabelKey = "labels", SourceKey = "source";

    private ProbeFeatures(Tensor tokens, Tensor labels)
    {
        Tokens = tokens;
        Labels = labels;
    }

    /// <summary>[images, N, C] float32: the last block's tokens, or [images, 1, C]: their mean.</summary>
    public Tensor Tokens { get; }

    /// <summary>[images] int64.</summary>
    public Tensor Labels { get; }

    /// <summary>Number of images.</summary>
    public int Count => (int)Labels.shape[0];

    /// <summary>Makes features of tensors that are there already; takes them over.</summary>
    public static ProbeFeatures Of(Tensor tokens, Tensor labels)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentNullException.ThrowIfNull(labels);
        return tokens.dim() == 3 && labels.dim() == 1 && labels.shape[0] == tokens.shape[0] && labels.dtype == int64
            ? new(tokens, labels)
            : throw new ArgumentException($"tokens is [{string.Join(", ", tokens.shape)}], labels {labels.dtype} [{string.Join(", ", labels.shape)}]; they must be [images, N, C] and Int64 [images].", nameof(tokens));
    }

    /// <summary>Encodes images, or reads what an earlier run with the same images and encoder kept.</summary>
    /// <param name="encoder">The encoder; its last hidden state is taken.</param>
    /// <param name="images">The set.</param>
    /// <param name="mean">Keep the mean over tokens only: what every probe but the attentive one needs.</param>
    /// <param name="cache">A .safetensors file; null to keep nothing.</param>
    /// <param name="source">Names encoder and set; another one in the cache means that it is of something else, and is made anew.</param>
    /// <param name="batchSize">Images per pass.</param>
    /// <param name="done">Called with the number of images finished each time.</param>
    /// <param name="cancel">Looked at between batches.</param>
    public static ProbeFeatures Encode(VisionTransformer encoder, ImageClasses images, bool mean, string? cache, string source, int batchSize = 8, Action<int>? done = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(encoder);
        ArgumentNullException.ThrowIfNull(images);
        string key = $"{source}, {(mean ? "mean" : "tokens")}, {images.Images.Count} images";
        if (cache is not null && TryRead(cache, key) is { } kept)
        {
            done?.Invoke(kept.Count);
            return kept;
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var transform = new ImageTransform(encoder.Config.ImageHeight, encoder.Config.ImageWidth);
        var dtype = encoder.parameters().First().dtype;
        var parts = new List<Tensor>();
        foreach (var batch in images.Images.Chunk(batchSize))
        {
            cancel.ThrowIfCancellationRequested();
            using var inner = NewDisposeScope();
            var pixels = transform.ToFloats([.. batch.Select(i => i.Decode())]);
            var last = encoder.call(pixels.to(dtype)).to(float32);
            parts.Add((mean ? last.mean([1], keepdim: true) : last).MoveToOuterDisposeScope());
            done?.Invoke(batch.Length);
        }
        var features = new ProbeFeatures(cat(parts).MoveToOuterDisposeScope(), tensor(images.Images.Select(i => (long)i.Class).ToArray()).MoveToOuterDisposeScope());
        if (cache is not null)
        {
            SafetensorsWriter.Write(cache, new Dictionary<string, Tensor> { [TokenKey] = features.Tokens, [LabelKey] = features.Labels }, new Dictionary<string, string> { [SourceKey] = key });
        }
        return features;
    }

    private static ProbeFeatures? TryRead(string cache, string key)
    {
        if (!File.Exists(cache))
        {
            return null;
        }
        using var file = SafetensorsFile.Open(cache);
        return file.Metadata.TryGetValue(SourceKey, out string? source) && source == key ? new(file.Read(TokenKey), file.Read(LabelKey)) : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Tokens.Dispose();
        Labels.Dispose();
    }
}
