using System.Globalization;
using System.Text.Json.Nodes;
using SailVit.Model.Checkpoints;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace SailVit.Model.Refinement;

/// <summary>Typed access to one mapping of a recipe. Every failure names file, line and key; keys that nobody asks for are errors.</summary>
internal sealed class RecipeSection
{
    private readonly YamlMappingNode _node;
    private readonly RecipeSection? _defaults;
    private readonly List<string> _asked = [];

    /// <param name="node">The mapping.</param>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="file">Where it stands.</param>
    /// <param name="defaults">Asked for keys that are absent here.</param>
    public RecipeSection(YamlNode node, string name, string file, RecipeSection? defaults = null)
    {
        (Name, File, _defaults) = (name, file, defaults);
        _node = node as YamlMappingNode ?? throw At(node, $"{name} is {Kind(node)}; it must be a mapping of keys to values");
    }

    public string Name { get; }

    public string File { get; }

    /// <summary>An error at a key, or at the section where the key is absent.</summary>
    public RecipeException Error(string key, string problem) => Find(key) is { } value ? At(value, problem) : Error(problem);

    public RecipeException Error(string problem) => At(_node, problem);

    public bool Has(string key) => Ask(key) is not null;

    public string? Text(string key) => Ask(key) is not { } value ? null
        : value is YamlScalarNode { Value.Length: > 0 } scalar ? scalar.Value
        : throw At(value, $"{key} is {Kind(value)}; it must be a text");

    /// <summary>A path, relative to the recipe's own folder.</summary>
    public string? Path(string key) => Text(key) is not { } path ? null
        : !path.Contains('\0', StringComparison.Ordinal) ? System.IO.Path.GetFullPath(path, System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(File))!)
        : throw Error(key, $"{key} is '{TensorEntry.Show(path)}'; no path holds a zero");

    /// <summary>A number within bounds, which the message names by <paramref name="allowed"/>; null where the key is absent or null.</summary>
    public double? Number(string key, Func<double, bool> holds, string allowed) => Ask(key) is not { } value ? null
        : value is YamlScalarNode scalar && double.TryParse(scalar.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) && holds(number) ? number
        : throw At(value, $"{key} is {Kind(value)}; it must be {allowed}");

    public double? Positive(string key) => Number(key, n => n > 0, "a number above 0");

    public int? Count(string key, int least = 1, int most = int.MaxValue) =>
        (int?)Number(key, n => n >= least && n <= most && n == Math.Floor(n), $"a whole number, at least {least}{(most < int.MaxValue ? $", at most {most}" : "")}");

    public bool? Flag(string key) => Choice(key, [("true", true), ("false", false)]);

    /// <summary>One of a few words.</summary>
    public T? Choice<T>(string key, IReadOnlyList<(string Word, T Value)> words) where T : struct
    {
        if (Ask(key) is not { } value)
        {
            return null;
        }
        string? word = (value as YamlScalarNode)?.Value;
        return words.Any(w => w.Word == word) ? words.First(w => w.Word == word).Value
            : throw At(value, $"{key} is {Kind(value)}; it must be {string.Join(" or ", words.Select(w => w.Word))}");
    }

    /// <summary>One of a few words that the recipe itself decides.</summary>
    public string? Choice(string key, IReadOnlyList<string> words) => Texts(key) switch
    {
        null => null,
        [var word] when words.Contains(word) => word,
        _ => throw Error(key, $"{key} is {Kind(Ask(key)!)}; it must be {string.Join(" or ", words)}"),
    };

    /// <summary>A text or a list of texts; null where the key is absent.</summary>
    public IReadOnlyList<string>? Texts(string key) => Ask(key) is not { } value ? null
        : (value is YamlSequenceNode list ? list.Children : [value]) is { Count: > 0 } items && items.All(item => item is YamlScalarNode { Value.Length: > 0 })
            ? [.. items.Select(item => ((YamlScalarNode)item).Value!)]
            : throw At(value, $"{key} is {Kind(value)}; it must be a text or a list of texts");

    /// <summary>A nested mapping; null where the key is absent or null.</summary>
    public RecipeSection? Child(string key) => Ask(key) is { } value ? new RecipeSection(value, key, File) : null;

    /// <summary>A list of mappings; null where the key is absent.</summary>
    public IReadOnlyList<RecipeSection>? List(string key, RecipeSection? defaults = null) => Ask(key) is not { } value ? null
        : value is YamlSequenceNode { Children.Count: > 0 } list ? [.. list.Children.Select((item, i) => new RecipeSection(item, $"{key}[{i}]", File, defaults))]
        : throw At(value, $"{key} is {(value is YamlSequenceNode ? "an empty list" : Kind(value))}; it must be a list with at least one entry");

    /// <summary>A list of exactly so many numbers.</summary>
    public double[]? Numbers(string key, int count, Func<double, bool> holds, string allowed)
    {
        if (Ask(key) is not { } value)
        {
            return null;
        }
        double[] numbers = [.. (value as YamlSequenceNode)?.Children.OfType<YamlScalarNode>().Select(n => double.TryParse(n.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double x) ? x : double.NaN) ?? []];
        return numbers.Length == count && numbers.All(holds) ? numbers : throw At(value, $"{key} is {Kind(value)}; it must be {allowed}");
    }

    /// <summary>The mapping as JSON, for a reader of Hugging Face configs.</summary>
    public JsonObject Json()
    {
        var json = new JsonObject();
        foreach (var (key, value) in Entries())
        {
            _asked.Add(key);
            json[key] = Convert(value);
        }
        return json;
    }

    /// <summary>Throws at the first key that nobody asked for, which may well be one of those required with a typing error, and then at what is missing.</summary>
    public void End(params IEnumerable<string> required)
    {
        foreach (var (key, value) in Entries())
        {
            if (!_asked.Contains(key))
            {
                throw At(value, $"{TensorEntry.Show(key)} is no key of {Name}; known are {string.Join(", ", _asked.Distinct())}");
            }
        }
        if (required.FirstOrDefault(key => !Has(key)) is { } missing)
        {
            throw Error($"{Name} lacks {missing}");
        }
    }

    internal static RecipeException At(string file, Mark place, string problem, Exception? cause = null) => new($"{file}:{place.Line}: {problem}.", cause);

    private RecipeException At(YamlNode node, string problem) => At(File, node.Start, problem);

    private IEnumerable<(string Key, YamlNode Value)> Entries() => _node.Children.Select(entry => entry.Key is YamlScalarNode { Value: { } key } ? (key, entry.Value)
        : throw At(entry.Key, $"a key of {Name} is {Kind(entry.Key)}; it must be a word"));

    private YamlNode? Ask(string key)
    {
        _asked.Add(key);
        // Asked in any case, so that the defaults know which of their keys have a meaning.
        var absent = _defaults?.Ask(key);
        return Find(key) is { } value ? (IsNull(value) ? null : value) : absent;
    }

    private YamlNode? Find(string key) => _node.Children.TryGetValue(new YamlScalarNode(key), out var value) ? value : null;

    // YAML's own spellings of nothing; in quotes they are texts.
    private static bool IsNull(YamlNode node) => node is YamlScalarNode { Style: ScalarStyle.Plain, Value: null or "" or "~" or "null" };

    private JsonNode? Convert(YamlNode node) => node switch
    {
        _ when IsNull(node) => null,
        YamlScalarNode { Style: ScalarStyle.Plain, Value: "true" or "false" } flag => flag.Value == "true",
        YamlScalarNode { Style: ScalarStyle.Plain } scalar when long.TryParse(scalar.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) => whole,
        YamlScalarNode { Style: ScalarStyle.Plain } scalar when double.TryParse(scalar.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) => number,
        YamlScalarNode scalar => scalar.Value,
        YamlSequenceNode list => new JsonArray([.. list.Children.Select(Convert)]),
        _ => throw At(node, $"{Name} holds {Kind(node)} inside; it must be flat"),
    };

    private static string Kind(YamlNode node) => node switch
    {
        _ when IsNull(node) => "empty",
        YamlScalarNode scalar => $"'{TensorEntry.Show(scalar.Value!)}'",
        YamlSequenceNode list => $"a list of {list.Children.Count}",
        _ => "a mapping",
    };
}
