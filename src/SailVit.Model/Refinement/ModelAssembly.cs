using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using SailVit.Model.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Refinement;

/// <summary>Puts a run's first model together: an encoder, a language model, and a fresh connector between them.</summary>
internal static class ModelAssembly
{
    /// <summary>Makes the model and saves it, its tokenizer included.</summary>
    /// <param name="recipe">Its parts.</param>
    /// <param name="stages">The tile limits of the last are the model's own.</param>
    /// <param name="seed">Of all random weights.</param>
    /// <param name="folder">Where it goes.</param>
    /// <exception cref="CheckpointException">A part cannot be loaded, or the parts do not fit.</exception>
    public static void Build(ModelRecipe recipe, IReadOnlyList<StageRecipe> stages, int seed, string folder)
    {
        var dtype = stages[0].Precision;
        random.manual_seed(seed);
        var vision = Vision(recipe.Vision!, dtype);
        CausalLanguageModel? language = null;
        try
        {
            language = Language(recipe.Language!, dtype);
            Directory.CreateDirectory(folder);
            var tokenizer = TokenizerFiles.Copy(recipe.Tokenizer, folder, ChatTemplate.TurnStart, ChatTemplate.TurnEnd, ChatTemplate.ImageStart, ChatTemplate.ImageEnd, ChatTemplate.ImageContext);
            var config = Config(recipe, stages[^1], vision.Config, language.Config, tokenizer);
            var connector = new Connector(config.Merge * config.Merge * vision.Config.HiddenSize, language.Config.HiddenSize, dtype);
            if (recipe.Connector is { } trained)
            {
                Load(connector, trained);
            }
            using var model = new MultimodalModel(config, vision, connector, language);
            model.Save(folder);
        }
        catch (ArgumentException e)
        {
            throw new CheckpointException($"the parts of the model do not fit: {e.Message}", e);
        }
        finally
        {
            vision.Dispose();
            language?.Dispose();
        }
    }

    private static MultimodalConfig Config(ModelRecipe recipe, StageRecipe tiles, EncoderConfig vision, LanguageConfig language, ITextTokenizer tokenizer)
    {
        if (tokenizer.VocabSize > language.VocabSize)
        {
            throw new CheckpointException($"{recipe.Tokenizer}: the tokenizer, with the tokens of images, has {tokenizer.VocabSize} ids; the language model has embeddings for {language.VocabSize}. Take the tokenizer of this language model, or one of fewer tokens.");
        }
        var config = new MultimodalConfig
        {
            Vision = vision,
            Language = language,
            SelectLayer = recipe.SelectLayer,
            DownsampleRatio = recipe.DownsampleRatio,
            PixelShuffleVersion = recipe.PixelShuffle,
            ForceImageSize = recipe.ImageSize ?? vision.ImageHeight,
            Template = "sailvl-chat",
            DynamicImageSize = tiles.MaxTiles > 1,
            UseThumbnail = tiles.Thumbnail,
            MinDynamicPatch = tiles.MinTiles,
            MaxDynamicPatch = tiles.MaxTiles,
            ImageContextTokenId = tokenizer.TokenId(ChatTemplate.ImageContext)!.Value,
        };
        config.Validate();
        return config;
    }

    private static VisionTransformer Vision(EncoderOrigin origin, ScalarType dtype)
    {
        var config = origin.Config ?? ConfigFile.Read(origin.Folder!);
        // Drawn even where a checkpoint follows, as the language model is: a seed then gives the connector that it always gave.
        var encoder = new VisionTransformer(config);
        try
        {
            if (origin.Folder is { } folder)
            {
                CheckpointLoader.Load(encoder, folder, config.Family);
            }
            encoder.to(dtype);
            return encoder;
        }
        catch
        {
            encoder.Dispose();
            throw;
        }
    }

    private static void Load(Connector connector, string folder)
    {
        const string Prefix = "mlp1.";
        using var checkpoint = Checkpoint.Open(folder);
        var sources = checkpoint.Names.Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)).ToDictionary(name => name[Prefix.Length..], name => new[] { name });
        CheckpointLoader.Load(connector.state_dict(), checkpoint, sources, "the connector between this encoder and this language model");
    }

    private static CausalLanguageModel Language(LanguageOrigin origin, ScalarType dtype) =>
        origin.Folder is { } folder ? LanguageCheckpoint.Load(folder, dtype, initialize: true) : new CausalLanguageModel(origin.Config!, dtype);
}
