using System.Text.Json;

namespace SailVit.Model.Checkpoints;

/// <summary>Typed access to one JSON object of a config; every failure names the file and the key.</summary>
internal readonly struct ConfigReader
{
    private readonly JsonElement _object;
    private readonly string _source;

    public ConfigReader(JsonElement element, string source)
    {
        _object = element;
        _source = source;
        if (element.ValueKind != JsonValueKind.Object)
        {
            throw Error($"a config must be a JSON object; this is {Kind(element)}");
        }
    }

    public CheckpointException Error(string problem) => new($"{_source}: {TensorEntry.Show(problem, 500)}.");

    public bool Has(string key) => Find(key) is not null;

    /// <summary>A nested object, or null where the key is absent or null.</summary>
    public ConfigReader? Child(string key) => Find(key) is { } value ? new ConfigReader(value, $"{_source}, {key}") : null;

    public string Text(string key, string absent)
    {
        var value = Find(key);
        return value is null ? absent
            : value.Value.ValueKind == JsonValueKind.String ? value.Value.GetString()!
            : throw Error($"{key} is {Kind(value.Value)}; it must be a string");
    }

    /// <summary>The first text of a list; null where the key is absent or the list is empty.</summary>
    public string? First(string key)
    {
        var value = Find(key);
        return value is null || (value.Value.ValueKind == JsonValueKind.Array && value.Value.GetArrayLength() == 0) ? null
            : value.Value.ValueKind == JsonValueKind.Array && value.Value[0].ValueKind == JsonValueKind.String ? value.Value[0].GetString()
            : throw Error($"{key} is {Kind(value.Value)}; it must be a list of strings");
    }

    /// <summary>A list of texts; the key must be there.</summary>
    public IReadOnlyList<string> Texts(string key)
    {
        var value = Find(key) ?? throw Error($"{key} is missing");
        return value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
            ? [.. value.EnumerateArray().Select(item => item.GetString()!)]
            : throw Error($"{key} is {Kind(value)}; it must be a list of strings");
    }

    public bool Flag(string key, bool absent)
    {
        var value = Find(key);
        return value is null ? absent
            : value.Value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.Value.GetBoolean()
            : throw Error($"{key} is {Kind(value.Value)}; it must be true or false");
    }

    public double Number(string key, double absent)
    {
        var value = Find(key);
        return value is null ? absent
            : value.Value.ValueKind == JsonValueKind.Number && value.Value.TryGetDouble(out double number) ? number
            : throw Error($"{key} is {Kind(value.Value)}; it must be a number");
    }

    /// <summary>A whole number; the key must be there unless a default is given.</summary>
    public int Count(string key, int? absent = null)
    {
        var value = Find(key);
        return value is null ? absent ?? throw Error($"{key} is missing") : Count(key, value.Value);
    }

    /// <summary>A number, or a pair [height, width].</summary>
    public (int Height, int Width) Size(string key)
    {
        var value = Find(key) ?? throw Error($"{key} is missing");
        if (value.ValueKind != JsonValueKind.Array)
        {
            int edge = Count(key, value);
            return (edge, edge);
        }
        return value.GetArrayLength() == 2
            ? (Count(key, value[0]), Count(key, value[1]))
            : throw Error($"{key} has {value.GetArrayLength()} numbers; it must be one number or a pair [height, width]");
    }

    /// <summary>The text under a key, which must be one of <paramref name="allowed"/>; <paramref name="absent"/> when the key is absent.</summary>
    public string RequireOneOf(string key, string absent, params string[] allowed)
    {
        string value = Text(key, absent);
        return value == absent || allowed.Contains(value) ? value
            : throw Error($"{key} is '{value}'; supported are {string.Join(", ", allowed.Prepend(absent).Distinct())}");
    }

    /// <summary>Refuses dropout, which no published encoder uses and no kernel here applies.</summary>
    public void RequireZero(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            double value = Number(key, 0);
            if (value != 0)
            {
                throw Error($"{key} is {value}; only 0 is supported. Set it to 0 to use the checkpoint without dropout");
            }
        }
    }

    private int Count(string key, JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int count)
        ? count
        : throw Error($"{key} is {Kind(value)}; it must be a whole number");

    private JsonElement? Find(string key) => _object.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string Kind(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        JsonValueKind.String => $"the text '{Shorten(value.GetString()!)}'",
        _ => Shorten(value.GetRawText()),
    };

    private static string Shorten(string text) => text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 60), "…");
}
