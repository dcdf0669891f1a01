using System.Text.Json.Nodes;
using System.Text.Json;
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
    private const string Start = "start", TargetStart = "target-start", Encoder = "encoder";

    /// <summary>The folders of all stages, in order.</summary>
    public IReadOnlyList<(StageRecipe Stage, StageFolder Folder)> Stages { get; } =
    [
        .. recipe.Stages.Concat(recipe.Target?.Stages ?? []).Select((stage, i) =>
            (stage, new StageFolder(Path.Combine(folder, $"{i + 1}-{(i < recipe.Stages.Count ? "" : "target-")}{stage.Name}")))),
    ];

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
    /// <exception cref="TrainingException">Too many steps without a finite loss.</exception>
    public bool Run(IRefinementObserver? observer = null, string? last = null, CancellationToken cancel = default)
    {
        int end = last is null ? Stages.Count - 1 : Stages.ToList().FindIndex(s => s.Stage.Name == last);
        if (end < 0)
        {
            throw new RecipeException($"The recipe has no stage '{last}'; it has {string.Join(", ", Stages.Select(s => s.Stage.Name))}.");
        }
        StageFolder.Create(folder);
        using var alone = replicas.Rank == 0 ? Lock() : null;
        string model = recipe.Model.Folder is { } given ? Given(given) : Assemble(recipe.Model, recipe.Stages, recipe.Seed, Start);
        for (int i = 0; i <= end; i++)
        {
            var (stage, stageFolder) = Stages[i];
            if (replicas.Sum(cancel.IsCancellationRequested ? 1 : 0) > 0)
            {
                return false;
            }
            if (i == recipe.Stages.Count)
            {
                model = HandOver(model);
            }
            int seed = i < recipe.Stages.Count ? recipe.Seed : recipe.Target!.Seed;
            var run = new StageRun(recipe, stage, stageFolder, seed, replicas, peakFlops) { EncoderFolder = i == recipe.Stages.Count - 1 ? EncoderFolder : null };
            if (!run.Run(model, (i + 1, Stages.Count), observer, cancel))
            {
                return false;
            }
            model = stageFolder.Model;
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

    // The refined encoder alone goes on; connector and language model are left behind.
    private string HandOver(string refined)
    {
        var config = MultimodalConfigFile.Read(refined);
        var target = recipe.Target!;
        var model = new ModelRecipe
        {
            Vision = new(EncoderFolder, null),
            Language = target.Language,
            Tokenizer = target.Tokenizer,
            SelectLayer = config.SelectLayer,
            DownsampleRatio = config.DownsampleRatio,
            PixelShuffle = config.PixelShuffleVersion,
            ImageSize = config.ForceImageSize,
        };
        return Assemble(model, target.Stages, target.Seed, TargetStart);
    }

    private string Assemble(ModelRecipe model, IReadOnlyList<StageRecipe> stages, int seed, string name)
    {
        string path = Path.Combine(folder, name);
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
}
