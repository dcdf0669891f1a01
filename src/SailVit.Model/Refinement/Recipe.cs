using System.Text.Json.Serialization;
using SailVit.Model.Data;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using SailVit.Model.Training;
using static TorchSharp.torch;

namespace SailVit.Model.Refinement;

/// <summary>Gradual feature refinement, written down: a model, the stages that train it one after the other, and the training
/// that starts from the refined encoder.</summary>
/// <remarks>Read by <see cref="RecipeFile"/>. Source: SAILViT, arXiv 2507.01643; the stages as in SAIL-VL2, arXiv 2509.14033, §2.1.1.</remarks>
public sealed record Recipe
{
    /// <summary>Names the run.</summary>
    public required string Name { get; init; }

    /// <summary>Of fresh weights and of the order of the data.</summary>
    public int Seed { get; init; }

    /// <summary>What is refined.</summary>
    public required ModelRecipe Model { get; init; }

    /// <summary>The stages, in order.</summary>
    public required IReadOnlyList<StageRecipe> Stages { get; init; }

    /// <summary>Seeds of which each has a run of its own; empty: <see cref="Seed"/> alone.</summary>
    public IReadOnlyList<int> Seeds { get; init; } = [];

    /// <summary>Trainings after the hand-over.</summary>
    public IReadOnlyList<TargetRecipe> Targets { get; init; } = [];

    /// <summary>Steps between checkpoints.</summary>
    public int CheckpointEvery { get; init; } = 500;

    /// <summary>How many checkpoints stay.</summary>
    public int KeepCheckpoints { get; init; } = 2;

    /// <summary>Steps without a finite loss or a token to learn before a stage gives up.</summary>
    public int MostBadSteps { get; init; } = 10;

    /// <summary>The same with another seed, which is the targets' too.</summary>
    public Recipe WithSeed(int seed) => this with { Seed = seed, Targets = [.. Targets.Select(target => target with { Seed = seed })] };

    /// <summary>The runs that the recipe asks for and their folders: one in <paramref name="folder"/>, or one for each of several seeds inside it.</summary>
    /// <param name="folder">Of all.</param>
    /// <param name="seed">This one alone; null: all.</param>
    public IReadOnlyList<(Recipe Recipe, string Folder)> Runs(string folder, int? seed = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        return Seeds.Count == 0 ? [(seed is { } one ? WithSeed(one) : this, folder)]
            : [.. (seed is { } given ? [given] : Seeds).Select(s => (WithSeed(s), Path.Combine(folder, $"seed-{s}")))];
    }
}

/// <summary>Where an encoder comes from: a folder, or sizes to fill with random weights.</summary>
/// <param name="Folder">A checkpoint of the encoder alone or of a multimodal model.</param>
/// <param name="Config">The architecture, where there is no folder.</param>
public sealed record EncoderOrigin([property: JsonIgnore] string? Folder, EncoderConfig? Config)
{
    /// <summary>What identifies the folder wherever it lies.</summary>
    public string? Name => Path.GetFileName(Folder);
}

/// <summary>Where a language model comes from: a folder, or sizes to fill with random weights.</summary>
/// <param name="Folder">A checkpoint of the language model alone or of a multimodal model.</param>
/// <param name="Config">The architecture, where there is no folder.</param>
public sealed record LanguageOrigin([property: JsonIgnore] string? Folder, LanguageConfig? Config)
{
    /// <summary>What identifies the folder wherever it lies.</summary>
    public string? Name => Path.GetFileName(Folder);
}

/// <summary>The model that a run begins with.</summary>
public sealed record ModelRecipe
{
    /// <summary>A SAIL-VL folder with all parts; null where they come one by one.</summary>
    public string? Folder { get; init; }

    /// <summary>The encoder; null with <see cref="Folder"/>.</summary>
    public EncoderOrigin? Vision { get; init; }

    /// <summary>The language model; null with <see cref="Folder"/>.</summary>
    public LanguageOrigin? Language { get; init; }

    /// <summary>Multimodal folder whose connector is taken; null: a fresh one.</summary>
    [JsonIgnore]
    public string? Connector { get; init; }

    /// <summary>What identifies that folder wherever it lies.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ConnectorName => Path.GetFileName(Connector);

    /// <summary>Folder with the tokenizer's files; with <see cref="Folder"/>, that folder.</summary>
    [JsonIgnore]
    public string Tokenizer { get; init; } = "";

    /// <summary>Which hidden state of the encoder is used.</summary>
    public int SelectLayer { get; init; } = -1;

    /// <summary>Edge of the merged grid over that of the patches.</summary>
    public double DownsampleRatio { get; init; } = 0.5;

    /// <summary>How patches are merged.</summary>
    public PixelShuffleVersion PixelShuffle { get; init; } = PixelShuffleVersion.V2;

    /// <summary>Edge of a tile in pixels; null: that of the encoder.</summary>
    public int? ImageSize { get; init; }
}

/// <summary>A training that takes a refined encoder and leaves the language model behind, and the connector too unless told otherwise.</summary>
/// <param name="Language">The language model, which need not have taken part in the refinement.</param>
/// <param name="Tokenizer">Its tokenizer's folder.</param>
/// <param name="Seed">Of the fresh connector and the order of the data.</param>
/// <param name="Stages">The stages, in order; where there are several targets, their names begin with <see cref="Label"/>.</param>
public sealed record TargetRecipe(LanguageOrigin Language, string Tokenizer, int Seed, IReadOnlyList<StageRecipe> Stages)
{
    /// <summary>Tells it from other targets; null for one alone.</summary>
    public string? Name { get; init; }

    /// <summary>The stage whose encoder is taken, or <see cref="Start"/>; null: the last one.</summary>
    public string? From { get; init; }

    /// <summary>Whether the connector of that stage is taken too.</summary>
    public bool KeepConnector { get; init; }

    /// <summary>Name and origin.</summary>
    public string Label => string.Join('-', new[] { Name, From }.OfType<string>());

    /// <summary>What stands for the model that the refinement begins with, where the name of a stage could stand.</summary>
    public const string Start = "start";
}

/// <summary>One source of a stage's data.</summary>
/// <param name="Path">A .jsonl file, .tar shards or .parquet files.</param>
/// <param name="Images">Folder of the images of a .jsonl file; null: its own.</param>
/// <param name="Weight">Share in the mixture; null: the number of samples.</param>
/// <param name="Prompt">Asked of images that come with a caption alone; null: the default.</param>
public sealed record DataOrigin([property: JsonIgnore] string Path, [property: JsonIgnore] string? Images, double? Weight, string? Prompt)
{
    /// <summary>What identifies it wherever it lies.</summary>
    public string File => System.IO.Path.GetFileName(Path);
}

/// <summary>One stage: what is trained, on what, how.</summary>
public sealed record StageRecipe
{
    /// <summary>Names the stage and its folder.</summary>
    public required string Name { get; init; }

    /// <summary>The earlier stage that it begins with, or <see cref="TargetRecipe.Start"/>; null: the one before.</summary>
    public string? From { get; init; }

    /// <summary>The encoder's learning rate; null: frozen.</summary>
    public double? VisionRate { get; init; }

    /// <summary>The connector's learning rate; null: frozen.</summary>
    public double? ConnectorRate { get; init; }

    /// <summary>The language model's learning rate; null: frozen.</summary>
    public double? LanguageRate { get; init; }

    /// <summary>The mixture.</summary>
    public required IReadOnlyList<DataOrigin> Data { get; init; }

    /// <summary>Packs per step, of all replicas together.</summary>
    public required int Batch { get; init; }

    /// <summary>Steps; null: as many as <see cref="Epochs"/> take.</summary>
    public long? Steps { get; init; }

    /// <summary>Times that the data is seen, where <see cref="Steps"/> is null.</summary>
    public double? Epochs { get; init; }

    /// <summary>Shape of the learning rate after warm-up.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<ScheduleKind>))]
    public ScheduleKind Schedule { get; init; } = ScheduleKind.Cosine;

    /// <summary>Share of the steps in which the learning rate grows.</summary>
    public double WarmupRatio { get; init; } = 0.03;

    /// <summary>What a falling schedule ends at, over the full rate.</summary>
    public double LeastFactor { get; init; }

    /// <summary>Decoupled decay of matrices; vectors have none.</summary>
    public double WeightDecay { get; init; } = 0.05;

    /// <summary>AdamW's β₁.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>AdamW's β₂.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>AdamW's ε.</summary>
    public double Eps { get; init; } = 1e-8;

    /// <summary>Largest norm of the gradients; null: no clipping.</summary>
    public double? ClipNorm { get; init; } = 1;

    /// <summary>dtype of weights and activations; trained weights have float32 masters.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<ScalarType>))]
    public ScalarType Precision { get; init; } = ScalarType.BFloat16;

    /// <summary>Most tokens of a pack.</summary>
    public int PackTokens { get; init; } = 8192;

    /// <summary>Most image tiles of a pack; null: as many as their tokens fit.</summary>
    public int? PackTiles { get; init; }

    /// <summary>Fewest tiles of an image.</summary>
    public int MinTiles { get; init; } = 1;

    /// <summary>Most tiles of an image, the thumbnail not counted.</summary>
    public int MaxTiles { get; init; } = 6;

    /// <summary>Whether a small copy of the whole image follows its tiles.</summary>
    public bool Thumbnail { get; init; } = true;

    /// <summary>How much each answer counts.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<LossWeighting>))]
    public LossWeighting Weighting { get; init; } = LossWeighting.Token;

    /// <summary>What happens to a sample that is longer than a pack.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<Overflow>))]
    public Overflow Overflow { get; init; }

    /// <summary>The search for the learning rate; null: none.</summary>
    public AdaLrsOptions? AdaLrs { get; init; }

    /// <summary>Decay of the average of the weights that becomes the stage's result; null: the last weights are the result.</summary>
    public double? AverageDecay { get; init; }

    /// <summary>Whether activations are computed again in backward.</summary>
    public bool ActivationCheckpointing { get; init; }

    /// <summary>Whether each of several processes keeps the optimizer's state of its share of the parameters only. The result is
    /// the same.</summary>
    [JsonIgnore]
    public bool ShardOptimizer { get; init; }
}
