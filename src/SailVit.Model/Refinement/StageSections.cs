using SailVit.Model.Checkpoints;
using SailVit.Model.Data;
using SailVit.Model.Images;
using SailVit.Model.Training;
using static TorchSharp.torch;

namespace SailVit.Model.Refinement;

/// <summary>Reads the stages of a recipe.</summary>
internal static class StageSections
{
    // Far above any training: each pack of a step keeps samples waiting, and steps are counted in 32 bits.
    private const int MostPacks = 1 << 16, MostEpochs = 1_000_000;

    private static readonly char[] Forbidden = [.. Path.GetInvalidFileNameChars(), '/', '\\', ':', '*', '?'];

    public static IReadOnlyList<StageRecipe> Read(RecipeSection parent, RecipeSection? defaults)
    {
        var sections = parent.List("stages", defaults) ?? [];
        var stages = new List<StageRecipe>();
        foreach (var section in sections)
        {
            var stage = Read(section, [TargetRecipe.Start, .. stages.Select(s => s.Name)]);
            if (stages.Any(s => s.Name == stage.Name))
            {
                throw section.Error("name", $"two stages are named '{stage.Name}'; each needs a name of its own");
            }
            stages.Add(stage);
        }
        return stages;
    }

    private static StageRecipe Read(RecipeSection section, IReadOnlyList<string> origins)
    {
        var train = section.Child("train");
        var betas = section.Numbers("betas", 2, n => n is >= 0 and < 1, "two numbers from 0 to below 1") ?? [0.9, 0.999];
        var stage = new StageRecipe
        {
            Name = Name(section),
            From = section.Choice("from", origins),
            VisionRate = train?.Positive("vision"),
            ConnectorRate = train?.Positive("connector"),
            LanguageRate = train?.Positive("language"),
            Data = Data(section),
            Batch = section.Count("batch", most: MostPacks) ?? 0,
            Steps = section.Count("steps"),
            Epochs = section.Number("epochs", n => n > 0 && n <= MostEpochs, $"a number above 0, at most {MostEpochs}"),
            Schedule = section.Choice("schedule", [("cosine", ScheduleKind.Cosine), ("linear", ScheduleKind.Linear), ("constant", ScheduleKind.Constant)]) ?? ScheduleKind.Cosine,
            WarmupRatio = Share(section, "warmup_ratio") ?? 0.03,
            LeastFactor = Share(section, "least_factor") ?? 0,
            WeightDecay = section.Number("weight_decay", n => n >= 0, "a number, at least 0") ?? 0.05,
            Beta1 = betas[0],
            Beta2 = betas[1],
            Eps = section.Positive("eps") ?? 1e-8,
            ClipNorm = section.Number("clip_norm", n => n >= 0, "a number, or 0 for none") is { } clip ? (clip > 0 ? clip : null) : 1,
            Precision = section.Choice("precision", [("float32", ScalarType.Float32), ("bfloat16", ScalarType.BFloat16)]) ?? ScalarType.BFloat16,
            PackTokens = section.Count("pack_tokens") ?? 8192,
            PackTiles = section.Count("pack_tiles"),
            MinTiles = section.Count("min_tiles", most: DynamicTiling.MostTiles) ?? 1,
            MaxTiles = section.Count("max_tiles", most: DynamicTiling.MostTiles) ?? 6,
            Thumbnail = section.Flag("thumbnail") ?? true,
            Weighting = section.Choice("loss_weighting", [("token", LossWeighting.Token), ("sample", LossWeighting.Sample), ("square", LossWeighting.Square)]) ?? LossWeighting.Token,
            Overflow = section.Choice("overflow", [("skip", Overflow.Skip), ("truncate", Overflow.Truncate)]) ?? Overflow.Skip,
            AdaLrs = section.Child("adalrs") is { } search ? Search(search) : null,
            AverageDecay = section.Number("ema", n => n is > 0 and < 1, "a number between 0 and 1"),
            ActivationCheckpointing = section.Flag("activation_checkpointing") ?? false,
            ShardOptimizer = section.Flag("shard_optimizer") ?? false,
        };
        train?.End();
        section.End("name", "train", "batch", "data");
        Check(section, train!, stage);
        return stage;
    }

    private static void Check(RecipeSection section, RecipeSection train, StageRecipe stage)
    {
        if (stage is { VisionRate: null, ConnectorRate: null, LanguageRate: null })
        {
            throw train.Error($"stage '{stage.Name}' trains nothing; give at least one of vision, connector and language a learning rate");
        }
        if (stage.Steps is null == stage.Epochs is null)
        {
            throw section.Error($"stage '{stage.Name}' must have exactly one of steps and epochs");
        }
        if (stage.MaxTiles < stage.MinTiles)
        {
            throw section.Error("max_tiles", $"max_tiles is {stage.MaxTiles}, min_tiles {stage.MinTiles}; they must be in order");
        }
    }

    internal static string Name(RecipeSection section)
    {
        string name = section.Text("name") ?? "unnamed";
        return name.IndexOfAny(Forbidden) < 0 && !name.Any(char.IsControl) && name.Trim(['.', ' ']).Length > 0 && name.Length <= 60 ? name
            : throw section.Error("name", $"name is '{TensorEntry.Show(name)}'; it names a folder, so it must have a letter or digit, do without {string.Join(' ', "/\\:*?".ToCharArray())}, and have at most 60 characters");
    }

    private static double? Share(RecipeSection section, string key) => section.Number(key, n => n is >= 0 and <= 1, "a number from 0 to 1");

    private static List<DataOrigin> Data(RecipeSection section)
    {
        var data = new List<DataOrigin>();
        foreach (var origin in section.List("data") ?? [])
        {
            data.Add(new DataOrigin(origin.Path("path") ?? "", origin.Path("images"), origin.Positive("weight"), origin.Text("prompt")));
            origin.End("path");
        }
        if (!double.IsFinite(data.Sum(d => d.Weight ?? 0)))
        {
            throw section.Error("data", "the weights of the data have no finite sum; they are shares, so smaller ones will do");
        }
        // A weight against a number of samples would be apples against pears.
        return data.TrueForAll(d => d.Weight is null) || data.TrueForAll(d => d.Weight is not null) ? data
            : throw section.Error("data", "some of the data have a weight and some have none; give one to all, or to none for shares by size");
    }

    private static AdaLrsOptions Search(RecipeSection section)
    {
        var absent = new AdaLrsOptions();
        var options = new AdaLrsOptions(section.Count("window") ?? absent.Window, section.Count("alpha") ?? absent.Alpha, section.Count("beta") ?? absent.Beta,
            section.Positive("decay") ?? absent.Decay, section.Number("epsilon", n => n >= 0, "a number, at least 0") ?? absent.Epsilon);
        section.End();
        try
        {
            options.Validate();
            return options;
        }
        catch (ArgumentException e)
        {
            throw section.Error(e.Message.TrimEnd('.'));
        }
    }
}
