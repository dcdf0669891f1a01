using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Language;
using SailVit.Model.Text;
using SailVit.Model.Training;
using TorchSharp;
using static TorchSharp.torch;
using F = SailVit.Kernels.functional;

namespace SailVit.Model.Demonstration;

/// <summary>Pretrains a small language model on the world's texts, without pictures.</summary>
internal static class LanguagePretraining
{
    private const double LearningRate = 1e-3, WeightDecay = 0.05;
    private const int PackTokens = 1024;

    /// <summary>Tokens of the vocabulary, the special ones included.</summary>
    public const int VocabSize = 640;

    /// <summary>The one that takes part in the refinement.</summary>
    /// <remarks>Weights begin near 1/√128, as is usual at this width; Qwen's 0.02 is for thousands of channels.</remarks>
    public static LanguageConfig Config { get; } = LanguageConfigFile.Parse($$"""
        { "model_type": "qwen3", "hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
          "head_dim": 32, "vocab_size": {{VocabSize}}, "max_position_embeddings": 512, "tie_word_embeddings": true, "initializer_range": 0.08 }
        """);

    /// <summary>The one that does not: another family, width and depth.</summary>
    public static LanguageConfig OtherConfig { get; } = LanguageConfigFile.Parse($$"""
        { "model_type": "qwen2", "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 3, "num_key_value_heads": 1,
          "head_dim": 32, "vocab_size": {{VocabSize}}, "max_position_embeddings": 512, "tie_word_embeddings": true, "initializer_range": 0.08 }
        """);

    /// <summary>Trains a language model and saves it with its tokenizer.</summary>
    /// <returns>The last loss, per token.</returns>
    public static double Run(LanguageConfig config, int seed, WorldOptions options, string texts, string tokenizerFolder, string folder, Action<int> report, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        random.manual_seed(seed);
        using var model = new CausalLanguageModel(config);
        var tokenizer = Tokenizers.Load(tokenizerFolder);
        using var source = SampleSources.Open(texts);
        using var loader = new PackedLoader([new(source)], new SampleEncoder(new ChatTemplate(tokenizer, 1), new DynamicTiling(TileSize: SceneRenderer.Size)),
            new PackingOptions { MaxTokens = PackTokens, Seed = (ulong)seed, Weighting = LossWeighting.Token });
        double loss = Pretraining.Run([new("language", [.. model.named_parameters().Select(p => (p.name, p.parameter))], LearningRate, WeightDecay)], options.LanguageSteps, Loss, report, cancel);
        LanguageCheckpoint.Save(model, folder);
        TokenizerFiles.Copy(tokenizerFolder, folder);
        return loss;

        Tensor Loss()
        {
            using var batch = loader.Next(cancel)!;
            var hidden = model.Hidden(model.Embed(batch.Ids), batch.Layout);
            long predictions = hidden.shape[0] - 1;
            return F.linear_cross_entropy(hidden.narrow(0, 0, predictions), model.Head, batch.Labels.narrow(0, 1, predictions), batch.Weights.narrow(0, 1, predictions), PackedBatch.Ignored);
        }
    }
}
