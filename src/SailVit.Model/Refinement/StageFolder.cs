using System.Text.Json;
using SailVit.Model.Checkpoints;
using SailVit.Model.Training;

namespace SailVit.Model.Refinement;

/// <summary>The folder of one stage in a run: its settings, checkpoints, metrics, and in the end its result.</summary>
/// <param name="path">The folder.</param>
public sealed class StageFolder(string path)
{
    private const string SettingsName = "settings.json", SummaryName = "summary.json";

    /// <summary>The folder.</summary>
    public string Path { get; } = path;

    /// <summary>The model that the stage made, once it is finished.</summary>
    public string Model => System.IO.Path.Combine(Path, "model");

    /// <summary>What came of the stage; null until it is finished.</summary>
    /// <exception cref="CheckpointException">The file that says so is damaged.</exception>
    public StageSummary? Summary
    {
        get
        {
            try
            {
                return File.Exists(In(SummaryName)) ? JsonSerializer.Deserialize<StageSummary>(Files.ReadAllText(In(SummaryName)), TrainingJson.Options) : null;
            }
            catch (JsonException e)
            {
                throw new CheckpointException($"{In(SummaryName)}: not the summary of a stage ({e.Message}); remove it, and the stage is finished again.", e);
            }
        }
    }

    /// <summary>Begins the stage, or goes on with it if it was begun with the same settings.</summary>
    /// <exception cref="RecipeException">It was begun with other settings.</exception>
    internal void Open(StageRecipe stage, int seed)
    {
        Files.CreateFolder(Path);
        var settings = JsonSerializer.SerializeToNode(stage, TrainingJson.Options)!.AsObject();
        settings["seed"] = seed;
        var file = new SettingsFile(In(SettingsName));
        if (!file.Matches(settings, $"stage '{stage.Name}' was begun", "delete this folder and those of the stages after it"))
        {
            file.Write(settings);
        }
    }

    /// <summary>Marks the stage as finished; its checkpoints have done their duty.</summary>
    internal void Finish(StageSummary summary)
    {
        Files.WriteAtomically(In(SummaryName), stream => JsonSerializer.Serialize(stream, summary, TrainingJson.Options));
        DropCheckpoints();
    }

    /// <summary>Deletes checkpoints that a finished stage no longer needs.</summary>
    internal void DropCheckpoints()
    {
        foreach (string checkpoint in Directory.EnumerateDirectories(Path, "step-*"))
        {
            Directory.Delete(checkpoint, recursive: true);
        }
    }

    private string In(string name) => System.IO.Path.Combine(Path, name);
}
