using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Encoders;
using SailVit.Model.Refinement;
using SailVit.Model.Training;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Refinement;

public sealed class RecipeFileTests
{
    private static readonly string Recipes = Path.Combine(TestData.Root, "..", "..", "recipes");

    [Theory]
    [InlineData("sailvit-large.yaml")]
    [InlineData("sailvit-huge.yaml")]
    public void ShippedRecipe_HasThePublishedValues(string name)
    {
        var recipe = RecipeFile.Read(Path.Combine(Recipes, name));
        Assert.Equal([2e-4, 2e-5, 1e-5], recipe.Stages.Select(s => s.ConnectorRate!.Value));
        Assert.Equal([null, 2e-5, 1e-5], recipe.Stages.Select(s => s.VisionRate));
        Assert.Equal([null, null, 1e-5], recipe.Stages.Select(s => s.LanguageRate));
        Assert.Equal([1920, 512, 512], recipe.Stages.Select(s => s.Batch));
        Assert.All(recipe.Stages, s => Assert.Equal((8192, ScalarType.BFloat16, 1.0), (s.PackTokens, s.Precision, s.Epochs)));
        Assert.Equal((2e-4, 2048), (recipe.Targets[0].Stages[0].ConnectorRate, recipe.Targets[0].Stages[0].Batch));
        Assert.NotNull(recipe.Targets[0].Stages[0].AdaLrs);
    }

    [Fact]
    public void SmallRecipe_IsWhole()
    {
        var recipe = RecipeFile.Read(Path.Combine(Recipes, "small.yaml"));
        Assert.Equal(3, recipe.Stages.Count);
        Assert.All(recipe.Stages.SelectMany(s => s.Data), d => Assert.True(File.Exists(d.Path) && Directory.Exists(d.Images)));
        Assert.Equal(EncoderFamily.Aimv2, recipe.Model.Vision!.Config!.Family);
    }

    [Fact]
    public void AbsentKeys_HaveTheDocumentedDefaults()
    {
        var stage = ToyRecipe.Read("""
            model: { folder: somewhere }
            stages: [{ name: a, train: { connector: 1e-3 }, batch: 4, steps: 3, data: [{ path: x.jsonl }] }]
            """).Stages[0];
        Assert.Equal((ScheduleKind.Cosine, 0.03, 0.05, 0.9, 0.999), (stage.Schedule, stage.WarmupRatio, stage.WeightDecay, stage.Beta1, stage.Beta2));
        Assert.Equal((1.0, ScalarType.BFloat16, 8192, LossWeighting.Token), (stage.ClipNorm, stage.Precision, stage.PackTokens, stage.Weighting));
        Assert.Equal(Path.Combine(TestData.Root, "x.jsonl"), stage.Data[0].Path);
    }

    [Fact]
    public void Defaults_HoldWhereAStageSaysNothing()
    {
        var recipe = ToyRecipe.Read("""
            model: { folder: somewhere }
            defaults: { batch: 4, steps: 3, clip_norm: 0, ema: 0.9, train: { connector: 1e-3 }, data: [{ path: x.jsonl }] }
            stages: [{ name: a }, { name: b, steps: null, epochs: 2, ema: null }]
            """);
        Assert.Equal((4, 3, 0.9, null), (recipe.Stages[0].Batch, recipe.Stages[0].Steps, recipe.Stages[0].AverageDecay, recipe.Stages[0].ClipNorm));
        Assert.Equal((4, null, 2.0, null), (recipe.Stages[1].Batch, recipe.Stages[1].Steps, recipe.Stages[1].Epochs, recipe.Stages[1].AverageDecay));
    }

    [Fact]
    public void Json_IsReadAlike()
    {
        const string Json = """{ "model": { "folder": "m" }, "stages": [ { "name": "a", "train": { "vision": 1e-5 }, "batch": 1, "epochs": 0.5, "thumbnail": false, "data": [ { "path": "d" } ] } ] }""";
        var stage = ToyRecipe.Read(Json).Stages[0];
        Assert.Equal((1e-5, 0.5, false), (stage.VisionRate, stage.Epochs, stage.Thumbnail));
    }

    /// <summary>Each row: what is replaced in a good recipe, by what, and what the message must say.</summary>
    [Theory]
    [InlineData("batch: 4", "batch: 0", ":5: batch is '0'; it must be a whole number, at least 1, at most 65536.")]
    [InlineData("stages:", "name: ../a\nstages:", ":2: name is '../a'; it names a folder")]
    [InlineData("batch: 4", "batch: four", "batch is 'four'")]
    [InlineData("batch: 4", "batch: 2000000000", "at least 1, at most 65536")]
    [InlineData("steps: 3", "epochs: 1e300", "epochs is '1e300'; it must be a number above 0, at most 1000000")]
    [InlineData("name: a", "name: a\n    max_tiles: 2000000000", "at least 1, at most 1024")]
    [InlineData("name: a", "name: ' '", "it names a folder")]
    [InlineData("name: a", "name: \"a\\0b\"", "name is 'a?b'; it names a folder")]
    [InlineData("{ path: x.jsonl }", "{ path: \"x\\0y\" }", "path is 'x?y'; no path holds a zero")]
    [InlineData("{ path: x.jsonl }", "{ path: x.jsonl, weight: 1e308 }, { path: y.jsonl, weight: 1e308 }", "no finite sum")]
    [InlineData("batch: 4", "bach: 4", ":5: bach is no key of stages[0]; known are")]
    [InlineData("batch: 4", "batch: 4\n    batch: 4", ":6: not valid YAML")]
    [InlineData("steps: 3", "steps: 3\n    epochs: 1", "must have exactly one of steps and epochs")]
    [InlineData("steps: 3", "", "must have exactly one of steps and epochs")]
    [InlineData("connector: 1e-3", "conector: 1e-3", ":4: conector is no key of train; known are vision, connector, language.")]
    [InlineData("connector: 1e-3", "connector: 1e-3, adapter: 1", ":4: adapter is no key of train; known are vision, connector, language.")]
    [InlineData("connector: 1e-3", "connector: -1", "connector is '-1'; it must be a number above 0")]
    [InlineData("connector: 1e-3", "connector: NaN", "connector is 'NaN'")]
    [InlineData("connector: 1e-3", "", "stage 'a' trains nothing")]
    [InlineData("batch: 4", "", "stages[0] lacks batch")]
    [InlineData("{ connector: 1e-3 }", "connector", "train is 'connector'; it must be a mapping")]
    [InlineData("{ path: x.jsonl }", "x.jsonl", "data[0] is 'x.jsonl'; it must be a mapping")]
    [InlineData("{ path: x.jsonl }", "{ file: x.jsonl }", "file is no key of data[0]; known are path, images, weight, prompt.")]
    [InlineData("{ path: x.jsonl }", "{ prompt: What? }", "data[0] lacks path")]
    [InlineData("{ path: x.jsonl }", "{ path: x.jsonl, weight: 1 }, { path: y.jsonl }", "give one to all, or to none")]
    [InlineData("[{ path: x.jsonl }]", "[]", "data is an empty list")]
    [InlineData("name: a", "name: a/b", "name is 'a/b'; it names a folder")]
    [InlineData("name: a", "schedule: cosine", "stages[0] lacks name")]
    [InlineData("name: a", "name: a\n    schedule: sine", ":4: schedule is 'sine'; it must be cosine or linear or constant.")]
    [InlineData("name: a", "name: a\n    precision: float16", "precision is 'float16'; it must be float32 or bfloat16")]
    [InlineData("name: a", "name: a\n    betas: [0.9]", "betas is a list of 1; it must be two numbers")]
    [InlineData("name: a", "name: a\n    thumbnail: yes", "thumbnail is 'yes'; it must be true or false")]
    [InlineData("name: a", "name: a\n    warmup_ratio: 3", "warmup_ratio is '3'; it must be a number from 0 to 1")]
    [InlineData("name: a", "name: a\n    adalrs: { alpha: 4, beta: 2 }", "co-prime")]
    [InlineData("name: a", "name: a\n    min_tiles: 9", "min_tiles 9; they must be in order")]
    [InlineData("folder: m", "folder: m, tokenizer: t", ":1: tokenizer comes with the folder; leave it out.")]
    [InlineData("folder: m", "vision: { preset: sailvit-large }", "either one folder with all parts, or vision and language")]
    [InlineData("folder: m", "vision: { preset: sailvit-small }, language: { folder: l }", "preset is 'sailvit-small'; known are aimv2-1b")]
    [InlineData("folder: m", "vision: { preset: sailvit-large, folder: v }, language: { folder: l }", "exactly one of folder, preset or config")]
    [InlineData("folder: m", "vision: { config: { model_type: vit } }, language: { folder: l }", "model_type is 'vit'; known are aimv2")]
    [InlineData("folder: m", "vision: { config: { model_type: aimv2, hidden: 3, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1, image_size: 14 } }, language: { folder: l }", "hidden is no key of such a config")]
    [InlineData("folder: m", "vision: { preset: sailvit-large }, language: { config: { model_type: qwen3, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1, vocab_size: 9 } }", "model lacks tokenizer")]
    [InlineData("model: { folder: m }", "", ":2: the recipe lacks model.")]
    [InlineData("stages:", "stage:", ":3: stage is no key of the recipe")]
    [InlineData("stages:", "colour: red\nstages:", ":2: colour is no key of the recipe")]
    [InlineData("stages:", "stages: [", "not valid YAML")]
    public void BadRecipe_IsOneClearMessage(string good, string bad, string says)
    {
        const string Recipe = """
            model: { folder: m }
            stages:
              - name: a
                train: { connector: 1e-3 }
                batch: 4
                steps: 3
                data: [{ path: x.jsonl }]

            """;
        Assert.NotNull(ToyRecipe.Read(Recipe));
        Assert.Contains(good, Recipe, StringComparison.Ordinal);
        var error = Assert.Throws<RecipeException>(() => ToyRecipe.Read(Recipe.Replace(good, bad, StringComparison.Ordinal)));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        Assert.Contains("toy.yaml:", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void TwoStagesOfOneName_AreAnError()
    {
        const string Stage = "{ name: a, train: { vision: 1 }, batch: 1, steps: 1, data: [{ path: d }] }";
        var error = Assert.Throws<RecipeException>(() => ToyRecipe.Read($"model: {{ folder: m }}\nstages: [{Stage}, {Stage}]"));
        Assert.Contains("two stages are named 'a'", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("--- 1\n--- 2\n")]
    [InlineData("[]")]
    [InlineData("just words")]
    [InlineData("? [a, b]\n: c\n")]
    [InlineData("a: *nowhere")]
    public void NoRecipe_IsOneClearMessage(string text) => Assert.DoesNotContain('\n', Assert.Throws<RecipeException>(() => ToyRecipe.Read(text)).Message);

    [Theory]
    [InlineData("[")]
    [InlineData("{a: ")]
    [InlineData("- ")]
    public void DeepNesting_IsAnErrorAndNotAStackOverflow(string one) =>
        Assert.Contains("toy.yaml:", Assert.Throws<RecipeException>(() => ToyRecipe.Read(string.Concat(Enumerable.Repeat(one, 100_000)))).Message, StringComparison.Ordinal);

    [Fact]
    public void MissingFile_IsNamed() => Assert.Contains("no-such.yaml", Assert.Throws<CheckpointException>(() => RecipeFile.Read("no-such.yaml")).Message, StringComparison.Ordinal);
}
