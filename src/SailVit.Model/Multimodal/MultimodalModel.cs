using SailVit.Model.Data;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Multimodal;

/// <summary>Encoder, connector and language model: images and text to the next token.</summary>
/// <remarks>State_dict keys as SAIL-VL and SAIL-VL2 publish them: <c>vision_model.…</c>, <c>mlp1.0|1|3.…</c>, <c>language_model.…</c>.
/// Sources: SAIL-VL2, arXiv 2509.14033; InternVL, arXiv 2404.16821.</remarks>
public sealed partial class MultimodalModel : nn.Module
{
    /// <summary>Makes a model with random weights, drawn from torch's generator.</summary>
    /// <exception cref="ArgumentException">The configuration contradicts itself.</exception>
    public MultimodalModel(MultimodalConfig config, ScalarType dtype = ScalarType.Float32)
        : this(config, dtype, initialize: true) { }

    private MultimodalModel(MultimodalConfig config, ScalarType dtype, bool initialize)
        : this(config, new VisionTransformer(config.Vision, initialize), new(config.Merge * config.Merge * config.Vision.HiddenSize, config.Language.HiddenSize, dtype), new(config.Language, dtype, initialize))
    {
        if (dtype != ScalarType.Float32)
        {
            Vision.to(dtype);
        }
    }

    /// <summary>Assembles a model from its parts, which it owns from now on: the hand-over of a refined encoder to a new
    /// connector and another language model.</summary>
    /// <exception cref="ArgumentException">A part does not fit the configuration.</exception>
    public MultimodalModel(MultimodalConfig config, VisionTransformer vision, Connector connector, CausalLanguageModel language) : base(nameof(MultimodalModel))
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(vision);
        ArgumentNullException.ThrowIfNull(connector);
        ArgumentNullException.ThrowIfNull(language);
        config.Validate();
        if (vision.Config != config.Vision || language.Config != config.Language)
        {
            throw new ArgumentException("the encoder or the language model has another configuration than the multimodal model's; make the configuration from the parts' own.", nameof(config));
        }
        (Config, Vision, Connector, Language) = (config, vision, connector, language);
        register_module("vision_model", vision);
        register_module("mlp1", connector);
        register_module("language_model", language);
    }

    /// <summary>The architecture.</summary>
    public MultimodalConfig Config { get; }

    /// <summary>The encoder.</summary>
    public VisionTransformer Vision { get; }

    /// <summary>From patches to the language model's embeddings.</summary>
    public Connector Connector { get; }

    /// <summary>The language model.</summary>
    public CausalLanguageModel Language { get; }

    /// <summary>Encodes tiles.</summary>
    /// <param name="pixels">[tiles, 3, H, W]: uint8, or normalised floats of the model's dtype.</param>
    /// <returns>[tiles · <see cref="MultimodalConfig.TokensPerTile"/>, C of the language model], for tiles of the configured size.</returns>
    public Tensor EncodeImages(Tensor pixels)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        using var scope = NewDisposeScope();
        var grid = PixelGrid.Of(pixels, Config.Vision);
        if (grid.Rows % Config.Merge != 0 || grid.Columns % Config.Merge != 0)
        {
            throw new ArgumentException($"pixels is {pixels.shape[2]} × {pixels.shape[3]} px; both sides must be multiples of {Config.Merge * Config.Vision.PatchSize} px, the edge of a merged patch.", nameof(pixels));
        }
        var selected = Select(pixels);
        // InternViT's class token is no patch.
        var patches = Config.Vision.ClassToken ? selected.narrow(1, 1, selected.shape[1] - 1) : selected;
        var merged = PixelShuffle.Apply(patches, grid.Rows, grid.Columns, Config.Merge, Config.PixelShuffleVersion);
        return Connector.call(merged).flatten(0, 1).MoveToOuterDisposeScope();
    }

    /// <summary>Places image embeddings among those of tokens.</summary>
    /// <param name="ids">int64 [T].</param>
    /// <param name="images">[number of image places in ids, C], from <see cref="EncodeImages(Tensor)"/>; null without images.</param>
    /// <returns>[T, C], differentiable in both.</returns>
    /// <exception cref="ArgumentException">There are more or fewer image embeddings than places.</exception>
    public Tensor Embed(Tensor ids, Tensor? images)
    {
        ArgumentNullException.ThrowIfNull(ids);
        using var scope = NewDisposeScope();
        var text = Language.Embed(ids);
        using Scalar image = Config.ImageContextTokenId;
        var places = ids.eq(image).nonzero().view(-1);
        long have = images?.shape[0] ?? 0;
        if (places.shape[0] != have)
        {
            throw new ArgumentException($"ids has {places.shape[0]} image places, the images give {have} embeddings ({Config.TokensPerTile} per tile); they must be as many.", nameof(images));
        }
        return (images is null ? text : text.index_copy(0, places, images)).MoveToOuterDisposeScope();
    }

    /// <summary>Runs encoder, connector and language model.</summary>
    /// <returns>[T, C], after the final norm.</returns>
    public Tensor Hidden(PackedBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        using var scope = NewDisposeScope();
        var images = batch.Pixels is not null ? EncodeImages(batch.Pixels) : batch.Images.Count > 0 ? EncodeImages(batch.Images) : null;
        return Language.Hidden(Embed(batch.Ids, images), batch.Layout).MoveToOuterDisposeScope();
    }

    /// <summary>The next-token loss: Σ w·cross-entropy / Σ w over the labels that are not −100.</summary>
    /// <param name="batch">The samples.</param>
    /// <param name="normalizer">Divides instead of Σ w: the sum over all batches of a step, say.</param>
    /// <returns>A float32 scalar; 0 where nothing is labelled.</returns>
    public Tensor Loss(PackedBatch batch, double? normalizer = null)
    {
        using var scope = NewDisposeScope();
        var hidden = Hidden(batch);
        // Place t predicts label t + 1. A sequence's first token is never a label, so no sequence predicts into the next.
        long predictions = hidden.shape[0] - 1;
        return F.linear_cross_entropy(hidden.narrow(0, 0, predictions), Language.Head, batch.Labels.narrow(0, 1, predictions),
            batch.Weights.narrow(0, 1, predictions), PackedBatch.Ignored, normalizer).MoveToOuterDisposeScope();
    }

    private Tensor Select(Tensor pixels) => Config.SelectLayer == -1 ? Vision.call(pixels) : Vision.EncodeUpTo(pixels, Config.SelectLayer);

    // Registered by name in the constructor.
    /// <inheritdoc/>
    protected override void RegisterComponents() { }
}
