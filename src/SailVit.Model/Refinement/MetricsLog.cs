using System.Text.Json;
using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using SailVit.Model.Training;

namespace SailVit.Model.Refinement;

/// <summary>One line of JSON and one TensorBoard event for each step of a stage.</summary>
public sealed class MetricsLog : IDisposable
{
    /// <summary>Name of the file in a stage's folder.</summary>
    public const string FileName = "metrics.jsonl";

    private readonly StreamWriter _lines;
    private readonly TensorBoardWriter _events;

    /// <summary>Opens the log of a stage that begins with a step; lines of that step and later ones, which a killed run made and will be made again, are dropped.</summary>
    public MetricsLog(string folder, long step)
    {
        string path = Path.Combine(folder, FileName);
        string kept = string.Concat(Read(folder).Where(record => record["step"]!.GetValue<long>() < step).Select(record => record.ToJsonString(TrainingJson.Options) + "\n"));
        Files.WriteAtomically(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(kept)));
        _lines = new StreamWriter(path, append: true) { AutoFlush = true };
        _events = new TensorBoardWriter(folder, DateTimeOffset.Now);
    }

    /// <summary>Adds a step.</summary>
    public void Add(StageProgress progress)
    {
        ArgumentNullException.ThrowIfNull(progress);
        var step = progress.Step;
        var values = new List<(string Tag, double Value)>
        {
            ("loss", step.Loss),
            ("grad_norm", step.GradientNorm),
            ("tokens_per_second", progress.TokensPerSecond),
            ("images_per_second", progress.ImagesPerSecond),
            ("seconds", step.Seconds),
        };
        values.AddRange(progress.LearningRates.Select(rate => ($"lr/{rate.Key}", rate.Value)));
        if (progress.Utilization is { } utilization)
        {
            values.Add(("mfu", utilization));
        }
        var record = new JsonObject { ["step"] = step.Step, ["skipped"] = step.Skipped, ["tokens"] = step.Tokens, ["tiles"] = step.Tiles, ["samples"] = step.Samples };
        foreach (var (tag, value) in values)
        {
            // JSON knows no NaN.
            record[tag] = double.IsFinite(value) ? value : null;
        }
        _lines.WriteLine(record.ToJsonString(TrainingJson.Options));
        _events.Add(step.Step, DateTimeOffset.Now, values);
    }

    /// <summary>The records of a stage's folder, in order; a line cut short by a kill is none.</summary>
    public static IReadOnlyList<JsonObject> Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        var records = new List<JsonObject>();
        foreach (string line in File.Exists(path) ? Files.ReadAllText(path).Split('\n', StringSplitOptions.RemoveEmptyEntries) : [])
        {
            try
            {
                if (JsonNode.Parse(line) is JsonObject record && record["step"] is JsonValue step && step.TryGetValue(out long _))
                {
                    records.Add(record);
                }
            }
            catch (JsonException)
            {
            }
        }
        return records;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _lines.Dispose();
        _events.Dispose();
    }
}
