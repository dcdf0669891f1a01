using System.Text.Json;
using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using SailVit.Model.Distributed;
using SailVit.Model.Multimodal;
using SailVit.Model.Training;

namespace SailVit.Model.Refinement;

/// <summary>Follows a recipe in a folder: stage after stage, then the hand-over, then the target training.</summary>
/// <remarks>
/// Every stage loads the model that the one before left on disk, so that a run that goes on after a kill and one that was
/// never stopped do the same. Inside: <c>start</c>, one folder for each stage (<c>1-name</c> …), <c>encoder</c>,
/// <c>target-start</c> and the target's stages.
/// </remarks>
/// <param name="recipe">What to do.</param>
/// <param name="folder">Where; made where it is missing.</param>
/// <param name="replicas">The processes that share the work; each sees the same folder.</param>
/// <param name="peakFlops">Floating-point operations per second of this replica's machine at its best; null where not known.</param>
public sealed class RefinementRun(Recipe recipe, string folder, IReplicas replicas, double? peakFlops = null)
{
    private const string Start = "start", Encoder = "encoder";

    private readonly IReadOnlyList<Chain> _chains = Chains(recipe, folder);

    /// <summary>The folders of all stages, in order.</summary>
    public IReadOnlyList<(StageRecipe Stage, StageFolder Folder)> Stages => [.. _chains.SelectMany(chain => chain.Stages)];

    /// <summary>The targets, and for each the folder of the model that it begins with and that of its last stage.</summary>
    public IReadOnlyList<(TargetRecipe Target, string Start, StageFolder Last)> Targets => [.. _chains.Where(chain => chain.Target is not null).Select(chain => (chain.Target!, TargetStart(chain.Target!), chain.Stages[^1].Folder))];

    /// <summary>Where the refined encoder is saved.</summary>
    public string EncoderFolder => Path.Combine(folder, Encoder);

    /// <summary>Runs what is not finished yet.</summary>
    /// <param name="observer">Watches; null for nobody.</param>
    /// <param name="last">Name of the stage after which the run ends; null: the last one.</param>
    /// <param name="cancel">Ends the run after the step that is being made, with a checkpoint.</param>
    /// <returns>Whether all that was asked for is finished.</returns>
    /// <exception cref="RecipeException">The folder holds a run of another recipe, or there is no such stage.</exception>
    /// <exception cref="CheckpointException">A model or checkpoint cannot be read or written.</exception>
    /// <exception cref="Data.DatasetException">Data cannot be used.</exception>
    /// <exception cref="TrainingException">Too many steps without a finite loss or a token to learn.</exception>
    public bool Run(IRefinementObserver? observer = null, string? last = null, CancellationToken cancel = default)
    {
        int end = last is null ? Stages.Count - 1 : Stages.ToList().FindIndex(s => s.Stage.Name == last);
        if (end < 0)
        {
            throw new RecipeException($"The recipe has no stage '{last}'; it has {string.Join(", ", Stages.Select(s => s.Stage.Name))}.");
        }
        Files.CreateFolder(folder);
        using var alone = replicas.Rank == 0 ? Lock() : null;
        int number = 0;
        foreach (var chain in _chains)
        {
            string? start = null;
            for (int i = 0; i < chain.Stages.Count && number <= end; i++)
            {
                if (replicas.Sum(cancel.IsCancellationRequested ? 1 : 0) > 0)
                {
                    return false;
                }
                start ??= Begin(chain.Target);
                var run = new StageRun(recipe, chain.Stages[i].Stage, chain.Stages[i].Folder, chain.Target?.Seed ?? recipe.Seed, replicas, peakFlops)
                {
                    EncoderFolder = chain.Target is null && i == chain.Stages.Count - 1 ? EncoderFolder : null,
                };
                if (!run.Run(chain.Before(i, start), (++number, Stages.Count), observer, cancel))
                {
                    return false;
                }
            }
        }
        return true;
    }

    // Two runs in one folder would drop each other's checkpoints. The system lets go of it when the process ends, however that is.
    private FileStream Lock()
    {
        string path = Path.Combine(folder, "lock");
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path}: could not be locked; another run may be at work in this folder. Wait for it, or choose another output. ({e.Message})", e);
        }
    }

    // Its frozen parts are not in a stage's checkpoints: another model would be mixed with this one's trained parts.
    private string Given(string model)
    {
        using var checkpoint = Checkpoint.Open(model);
        var file = new SettingsFile(Path.Combine(folder, Start + ".json"));
        var settings = new JsonObject { ["folder"] = Path.GetFileName(Path.TrimEndingDirectorySeparator(model)), ["weights"] = checkpoint.Fingerprint() };
        if (!file.Matches(settings, "the run was begun", "delete this file and the folders beside it") && replicas.Rank == 0)
        {
            file.Write(settings);
        }
        replicas.Barrier();
        return model;
    }

    private static IReadOnlyList<Chain> Chains(Recipe recipe, string folder)
    {
        int number = 0;
        (StageRecipe, StageFolder)[] Numbered(IReadOnlyList<StageRecipe> stages, string prefix) =>
            [.. stages.Select(stage => (stage, new StageFolder(Path.Combine(folder, $"{++number}-{prefix}{stage.Name}"))))];
        return [new Chain(null, Numbered(recipe.Stages, "")), .. recipe.Targets.Select(target => new Chain(target, Numbered(target.Stages, "target-")))];
    }

    private string Begin(TargetRecipe? target) => target is not null ? HandOver(target)
        : recipe.Model.Folder is { } given ? Given(given) : Assemble(recipe.Model, recipe.Stages, recipe.Seed, Path.Combine(folder, Start));

    private string TargetStart(TargetRecipe target) => Path.Combine(folder, string.Join('-', new[] { "target", target.Label, Start }.Where(part => part.Length > 0)));

    // The model that a stage left, or the one before all stages.
    private string Origin(string? stage) => stage switch
    {
        null => _chains[0].Stages[^1].Folder.Model,
        TargetRecipe.Start => recipe.Model.Folder ?? Path.Combine(folder, Start),
        _ => _chains[0].Stages.First(s => s.Stage.Name == stage).Folder.Model,
    };

    // The refined encoder goes on, alone or with its connector; the language model is left behind.
    private string HandOver(TargetRecipe target)
    {
        string refined = Origin(target.From);
        var config = MultimodalConfigFile.Read(refined);
        var model = new ModelRecipe
        {
            Vision = new(target.From is null ? EncoderFolder : refined, null),
            Connector = target.KeepConnector ? refined : null,
            Language = target.Language,
            Tokenizer = target.Tokenizer,
            SelectLayer = config.SelectLayer,
            DownsampleRatio = config.DownsampleRatio,
            PixelShuffle = config.PixelShuffleVersion,
            ImageSize = config.ForceImageSize,
        };
        return Assemble(model, target.Stages, target.Seed, TargetStart(target));
    }

    private string Assemble(ModelRecipe model, IReadOnlyList<StageRecipe> stages, int seed, string path)
    {
        var settings = JsonSerializer.SerializeToNode(model, TrainingJson.Options)!.AsObject();
        settings["seed"] = seed;
        // Written when the model is whole: what a kill left half made is made again.
        var file = new SettingsFile(path + ".json");
        if (!file.Matches(settings, "the model was put together", "delete this file and the folders beside it") && replicas.Rank == 0)
        {
            ModelAssembly.Build(model, stages, seed, path);
            file.Write(settings);
        }
        replicas.Barrier();
        return path;
    }

    /// <summary>Stages that follow from one model: those of the refinement, or those of one target.</summary>
    private sealed record Chain(TargetRecipe? Target, IReadOnlyList<(StageRecipe Stage, StageFolder Folder)> Stages)
    {
        /// <summary>The model that a stage begins with.</summary>
        public string Before(int stage, string start) => Stages[stage].Stage.From switch
        {
            null => stage == 0 ? start : Stages[stage - 1].Folder.Model,
            TargetRecipe.Start => start,
            { } name => Stages.First(s => s.Stage.Name == name).Folder.Model,
        };
    }
}
