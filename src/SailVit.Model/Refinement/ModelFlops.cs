using SailVit.Model.Data;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;

namespace SailVit.Model.Refinement;

/// <summary>Floating-point operations that a training step needs, two per multiply-add of a matrix product.</summary>
/// <remarks>
/// Of a part that is trained, backward takes twice forward: gradients of its inputs and of its weights. A frozen part behind
/// a trained one (the language model behind the connector) needs the first only; a frozen part in front of all needs none.
/// Causal attention counts the half that is computed; what activation checkpointing computes again does not count.
/// Source: Chowdhery et al. 2022, arXiv 2204.02311, appendix B (model FLOPs utilisation).
/// </remarks>
public sealed class ModelFlops
{
    private readonly MultimodalConfig _config;
    private readonly double _vision, _connector, _perToken, _perPair, _perPrediction;

    /// <summary>Counts for a model of which some parts are trained.</summary>
    public ModelFlops(MultimodalConfig config, bool vision, bool connector, bool language)
    {
        ArgumentNullException.ThrowIfNull(config);
        (_config, _vision, _connector) = (config, vision ? 3 : 1, 1 + (connector ? 1 : 0) + (vision ? 1 : 0));
        double through = vision || connector || language ? 1 : 0;
        double linear = 1 + through + (language ? 1 : 0);
        _perToken = Linear(config.Language) * linear;
        _perPrediction = 2.0 * config.Language.VocabSize * config.Language.HiddenSize * linear;
        // Both gradients of a product of two activations.
        _perPair = 4.0 * config.Language.Layers * config.Language.Heads * config.Language.HeadDim * (1 + (2 * through));
    }

    /// <summary>Operations of one batch, forward and backward.</summary>
    public double Of(PackedBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        double pairs = 0;
        for (int s = 0; s < batch.Layout.Sequences; s++)
        {
            double n = batch.Layout.Length(s);
            pairs += n * (n + 1) / 2;
        }
        double images = batch.Images.Count > 0 ? batch.Images.Sum(image => Image((int)image.shape[1], (int)image.shape[2])) : batch.Tiles * Image(_config.ForceImageSize, _config.ForceImageSize);
        return images + (batch.Layout.Tokens * _perToken) + (pairs * _perPair) + (batch.TrainedTokens * _perPrediction);
    }

    private double Image(int height, int width)
    {
        var encoder = _config.Vision with { ImageHeight = height, ImageWidth = width, Layers = TrainedParts.BlocksInUse(_config) };
        double edge = _config.Merge * _config.Vision.PatchSize, merged = (double)_config.Merge * _config.Merge * _config.Vision.HiddenSize, c = _config.Language.HiddenSize;
        double connector = 2 * (height / edge) * (width / edge) * ((merged * c) + (c * c));
        return (encoder.FlopsPerImage * _vision) + (connector * _connector);
    }

    private static double Linear(LanguageConfig config)
    {
        double c = config.HiddenSize, q = (double)config.Heads * config.HeadDim, kv = (double)config.KvHeads * config.HeadDim;
        return 2 * config.Layers * ((c * (q + (2 * kv))) + (q * c) + (3 * c * config.IntermediateSize));
    }
}
