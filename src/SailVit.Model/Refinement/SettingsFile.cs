using System.Text.Json;
using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;

namespace SailVit.Model.Refinement;

/// <summary>With which settings a part of a run was made, so that it is not mixed with a part of another recipe.</summary>
internal readonly struct SettingsFile(string path)
{
    /// <summary>Whether the file is there, with the same settings.</summary>
    /// <param name="settings">What they are now.</param>
    /// <param name="what">For the message: what was done with other settings.</param>
    /// <param name="remedy">For the message: what to do besides restoring them.</param>
    /// <exception cref="RecipeException">It is there with others; the message says which.</exception>
    public bool Matches(JsonObject settings, string what, string remedy)
    {
        if (!File.Exists(path))
        {
            return false;
        }
        var before = Parse();
        var changed = settings.Select(s => s.Key).Union(before.Select(s => s.Key)).Where(key => !JsonNode.DeepEquals(settings[key], before[key])).ToList();
        return changed.Count == 0 ? true
            : throw new RecipeException($"{path}: {what} with other settings ({string.Join(", ", changed.Select(key => $"{key} {Show(before[key])}, now {Show(settings[key])}"))}). Restore them, choose another output, or {remedy}.");
    }

    public void Write(JsonObject settings) => Files.WriteAtomically(path, stream => JsonSerializer.Serialize(stream, settings, ConfigFile.Indented));

    private JsonObject Parse()
    {
        try
        {
            return JsonNode.Parse(Files.ReadAllText(path))?.AsObject() ?? [];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{path}: not the settings of a run ({e.Message}).", e);
        }
    }

    private static string Show(JsonNode? value) => value?.ToJsonString() ?? "absent";
}
