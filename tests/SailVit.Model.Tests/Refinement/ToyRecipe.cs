using SailVit.Model.Refinement;

namespace SailVit.Model.Tests.Refinement;

/// <summary>A whole refinement of a few thousand parameters.</summary>
internal static class ToyRecipe
{
    public static string Captions => Path.Combine(TestData.Root, "refinement", "captions.jsonl");

    public static string Questions => Path.Combine(TestData.Root, "refinement", "questions.jsonl");

    public const string Aimv2 = "{ model_type: aimv2, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 3, num_attention_heads: 2, image_size: 28, patch_size: 14 }";

    public const string InternVit = "{ model_type: intern_vit_300m, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 3, num_attention_heads: 2, image_size: 28, patch_size: 14, norm_type: layer_norm, layer_norm_eps: 1e-6, qk_normalization: false, qkv_bias: true }";

    /// <summary>The recipe's text; its stages have the names coarse, fine and world.</summary>
    public static string Text(string vision = Aimv2, string defaults = "precision: float32", string model = "", string target = "") => $$"""
        seed: 7
        checkpoint_every: 2
        model:
          vision: { config: {{vision}} }
          language: { config: {{Language("qwen3")}} }
          tokenizer: {{Path.Combine(TestData.Root, "refinement")}}
          {{model}}
        defaults:
          pack_tokens: 160
          max_tiles: 2
          batch: 2
          steps: 4
          warmup_ratio: 0.25
          {{defaults.ReplaceLineEndings("\n  ")}}
        stages:
          - { name: coarse, train: { connector: 1e-2 }, data: [{{Data(Captions)}}] }
          - { name: fine, train: { vision: 1e-3, connector: 1e-3 }, data: [{{Data(Captions)}}] }
          - { name: world, train: { vision: 1e-3, connector: 1e-3, language: 1e-3 }, data: [{{Data(Captions)}}, {{Data(Questions)}}] }
        {{target}}
        """;

    public static string Target => $$"""
        target:
          language: { config: {{Language("qwen2")}} }
          tokenizer: {{Path.Combine(TestData.Root, "refinement")}}
          stages:
            - { name: basic, train: { connector: 1e-2, language: 1e-3 }, data: [{{Data(Questions)}}] }
        """;

    public static Recipe Read(string text) => RecipeFile.Parse(text, Path.Combine(TestData.Root, "toy.yaml"));

    private static string Language(string type) => $"{{ model_type: {type}, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, vocab_size: 512, max_position_embeddings: 256, tie_word_embeddings: true }}";

    private static string Data(string path) => $"{{ path: {path}, images: {Path.Combine(TestData.Root, "images")} }}";
}
