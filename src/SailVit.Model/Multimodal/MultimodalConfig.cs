using SailVit.Model.Encoders;
using SailVit.Model.Images;
using SailVit.Model.Language;

namespace SailVit.Model.Multimodal;

/// <summary>How the connector merges patches: both take a square of neighbours, the first leaves the grid transposed.</summary>
public enum PixelShuffleVersion
{
    /// <summary>Merged patches in column order; InternVL's first version and the class default.</summary>
    V1,

    /// <summary>Merged patches in row order.</summary>
    V2,
}

/// <summary>Everything that fixes the architecture of a SAIL-VL model and how images become tokens.</summary>
/// <remarks>Read from a Hugging Face <c>config.json</c> by <see cref="MultimodalConfigFile"/>; defaults are those of the published
/// configuration classes.</remarks>
public sealed record MultimodalConfig
{
    /// <summary>The encoder.</summary>
    public required EncoderConfig Vision { get; init; }

    /// <summary>The language model.</summary>
    public required LanguageConfig Language { get; init; }

    /// <summary>Which hidden state of the encoder is used, negative from the end; −1 is the last one, final norm included.</summary>
    public int SelectLayer { get; init; } = -4;

    /// <summary>Edge of the merged grid over that of the grid of patches; 1 / whole number.</summary>
    public double DownsampleRatio { get; init; } = 0.5;

    /// <summary>How patches are merged.</summary>
    public PixelShuffleVersion PixelShuffleVersion { get; init; } = PixelShuffleVersion.V1;

    /// <summary>Edge of a tile in pixels.</summary>
    public required int ForceImageSize { get; init; }

    /// <summary>Name of the chat template.</summary>
    public string Template { get; init; } = "";

    /// <summary>Whether an image is cut into tiles by its aspect ratio.</summary>
    public bool DynamicImageSize { get; init; }

    /// <summary>Whether a small copy of the whole image follows its tiles.</summary>
    public bool UseThumbnail { get; init; }

    /// <summary>Fewest tiles of an image.</summary>
    public int MinDynamicPatch { get; init; } = 1;

    /// <summary>Most tiles of an image, the thumbnail not counted.</summary>
    public int MaxDynamicPatch { get; init; } = 6;

    /// <summary>How tokens know their place where each image keeps its own size; null: images are cut into tiles.</summary>
    public PositionMode? AnyRes { get; init; }

    /// <summary>Id of the token that stands where an image's embeddings go.</summary>
    public required int ImageContextTokenId { get; init; }

    /// <summary>Rank of the adapters that the checkpoint's encoder has; 0: none.</summary>
    public int UseBackboneLora { get; init; }

    /// <summary>Rank of the adapters that the checkpoint's language model has; 0: none.</summary>
    public int UseLlmLora { get; init; }

    /// <summary>Patches along one edge of a merged one: 2 for a ratio of 0.5.</summary>
    public int Merge => (int)Math.Round(1 / DownsampleRatio);

    /// <summary>Places in the text that one tile takes.</summary>
    public int TokensPerTile => ForceImageSize / Vision.PatchSize / Merge * (ForceImageSize / Vision.PatchSize / Merge);

    /// <summary>Places in the text for each that <see cref="ImageSplit.Count"/> counts: a tile, or a merged patch.</summary>
    public int TokensPerCount => AnyRes is null ? TokensPerTile : 1;

    /// <summary>How this model's images are cut.</summary>
    /// <param name="maxTiles">Most tiles of an image, or tiles whose area an image at its own size may have; null: what the configuration
    /// says, or as many patches as the encoder takes.</param>
    public ImageSplit Split(int? maxTiles = null)
    {
        int most = maxTiles ?? (DynamicImageSize ? MaxDynamicPatch : 1);
        return AnyRes is null ? Split(Math.Min(MinDynamicPatch, most), most, UseThumbnail) : Split(1, maxTiles ?? DynamicTiling.MostTiles, false);
    }

    internal ImageSplit Split(int minTiles, int maxTiles, bool thumbnail) => AnyRes is null ? new DynamicTiling(minTiles, maxTiles, ForceImageSize, thumbnail)
        : new AnyResSize(Merge * Vision.PatchSize, Math.Min((long)maxTiles * ForceImageSize * ForceImageSize, (long)VisionTransformer.MaxPatches * Vision.PatchSize * Vision.PatchSize));

    /// <summary>Throws when no model can have these values.</summary>
    /// <exception cref="ArgumentException">A value is out of range or two do not fit; the message names them.</exception>
    public void Validate()
    {
        Vision.Validate();
        Language.Validate();
        int states = Vision.HiddenStates;
        Require(SelectLayer >= -states && SelectLayer < states, $"select_layer is {SelectLayer}; the encoder has {states} hidden states.");
        Require(DownsampleRatio is > 0 and <= 1 && Math.Abs((1 / DownsampleRatio) - Merge) < 1e-6, $"downsample_ratio is {DownsampleRatio}; it must be 1 / a whole number.");
        Require(ForceImageSize > 0 && ForceImageSize % (Vision.PatchSize * Merge) == 0,
            $"force_image_size is {ForceImageSize}; it must be a multiple of {Vision.PatchSize * Merge}, the edge of a merged patch.");
        Require(MinDynamicPatch >= 1 && MaxDynamicPatch >= MinDynamicPatch && MaxDynamicPatch <= DynamicTiling.MostTiles, $"min_dynamic_patch {MinDynamicPatch} and max_dynamic_patch {MaxDynamicPatch} must be at least 1, at most {DynamicTiling.MostTiles}, and in order.");
        Require(AnyRes != PositionMode.AxialRotary || Vision.HeadDim % 4 == 0, $"axial rotary positions need a head dimension that is a multiple of 4; the encoder's is {Vision.HeadDim}.");
        Require(UseBackboneLora >= 0 && UseLlmLora >= 0, $"use_backbone_lora {UseBackboneLora} and use_llm_lora {UseLlmLora} are ranks; they must be 0 or more.");
        Require(ImageContextTokenId >= 0 && ImageContextTokenId < Language.VocabSize, $"img_context_token_id is {ImageContextTokenId}; the vocabulary has {Language.VocabSize} tokens.");
    }

    private static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new ArgumentException(message);
        }
    }
}
