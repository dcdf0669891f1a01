using System.Text.Json;
using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using SailVit.Model.Refinement;
using SailVit.Model.Text;
using SailVit.Model.Training;

namespace SailVit.Model.Demonstration;

/// <summary>Makes everything that the demonstration begins with, in a folder: the world's files, a tokenizer, an encoder that
/// has seen pictures and no text, and two language models that have seen texts and no picture.</summary>
/// <param name="options">How much.</param>
/// <param name="folder">Where; parts that are there already, of the same options, stay.</param>
public sealed class WorldPreparation(WorldOptions options, string folder)
{
    private readonly WorldFiles _files = new(options, folder);

    /// <summary>One part of the work.</summary>
    /// <param name="Name">Names it and marks it as done.</param>
    /// <param name="Items">How many items it will report.</param>
    /// <param name="Make">Makes it; returns the loss that a pretraining ended at.</param>
    public sealed record Step(string Name, int Items, Func<Action<int>, CancellationToken, double?> Make);

    /// <summary>All parts, in order.</summary>
    public IReadOnlyList<Step> Steps =>
    [
        new("world", options.RefinementImages + options.TargetImages + (SceneQuestion.Kinds.Count * options.TestQuestions), (report, cancel) =>
        {
            _files.Write(report, cancel);
            return null;
        }),
        new("tokenizer", 1, (report, _) =>
        {
            Directory.CreateDirectory(In("tokenizer"));
            TokenizerTrainer.Train(_files.Texts(), LanguagePretraining.VocabSize, [ChatTemplate.TurnEnd, ChatTemplate.TurnStart, ChatTemplate.ImageStart, ChatTemplate.ImageEnd, ChatTemplate.ImageContext], In("tokenizer"));
            report(1);
            return null;
        }),
        new("encoder", options.EncoderSteps, (report, cancel) => EncoderPretraining.Run(options, Path.Combine(_files.Images, "refinement"), In("encoder"), report, cancel)),
        new("language", options.LanguageSteps, (report, cancel) => LanguagePretraining.Run(LanguagePretraining.Config, options.Seed, options, In("text.jsonl"), In("tokenizer"), In("language"), report, cancel)),
        new("language-other", options.LanguageSteps, (report, cancel) => LanguagePretraining.Run(LanguagePretraining.OtherConfig, options.Seed + 1, options, In("text.jsonl"), In("tokenizer"), In("language-other"), report, cancel)),
    ];

    /// <summary>Whether a part is there, of the same options.</summary>
    /// <exception cref="RecipeException">It is there, of others.</exception>
    public bool IsDone(Step step)
    {
        ArgumentNullException.ThrowIfNull(step);
        return Mark(step).Matches(Settings(), $"{step.Name} was made", "delete the folder");
    }

    /// <summary>Makes a part.</summary>
    /// <returns>The loss that a pretraining ended at; null for other parts.</returns>
    public double? Make(Step step, Action<int> report, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(step);
        Files.CreateFolder(folder);
        double? loss = step.Make(report, cancel);
        Mark(step).Write(Settings());
        return loss;
    }

    private SettingsFile Mark(Step step) => new(In($"{step.Name}.done.json"));

    private JsonObject Settings() => JsonSerializer.SerializeToNode(options, TrainingJson.Options)!.AsObject();

    private string In(string name) => Path.Combine(folder, name);
}
