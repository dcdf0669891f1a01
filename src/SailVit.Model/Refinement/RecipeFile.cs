using System.Globalization;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Language;
using SailVit.Model.Multimodal;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace SailVit.Model.Refinement;

/// <summary>Reads recipes, YAML or JSON, which is YAML too. Paths in them are relative to the file.</summary>
public static class RecipeFile
{
    private const int MostDepth = 32;

    private static readonly string[] WithoutFolder = ["tokenizer", "select_layer", "downsample_ratio", "ps_version", "image_size"];

    /// <summary>Reads a recipe.</summary>
    /// <exception cref="RecipeException">It cannot be followed; the message names file, line, and what may stand there.</exception>
    /// <exception cref="CheckpointException">The file cannot be read.</exception>
    public static Recipe Read(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return Parse(Files.ReadAllText(path), path);
    }

    /// <summary>Reads the text of a recipe.</summary>
    /// <param name="text">YAML or JSON.</param>
    /// <param name="file">Named in messages; paths are relative to its folder.</param>
    /// <exception cref="RecipeException">It cannot be followed.</exception>
    public static Recipe Parse(string text, string file)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(file);
        var root = new RecipeSection(Root(text, file), "the recipe", file);
        var defaults = root.Child("defaults");
        var model = root.Child("model");
        var recipe = new Recipe
        {
            Name = root.Text("name") is not null ? StageSections.Name(root) : Path.GetFileNameWithoutExtension(file),
            Seed = root.Count("seed", least: 0) ?? 0,
            Model = model is null ? new() : Model(model),
            Seeds = Seeds(root),
            Stages = StageSections.Read(root, defaults),
            CheckpointEvery = root.Count("checkpoint_every") ?? 500,
            KeepCheckpoints = root.Count("keep_checkpoints") ?? 2,
            MostBadSteps = root.Count("most_bad_steps", least: 0) ?? 10,
        };
        recipe = recipe with { Targets = TargetSections.Read(root, defaults, recipe) };
        root.End("model", "stages");
        defaults?.End();
        return recipe;
    }

    private static YamlNode Root(string text, string file)
    {
        try
        {
            ThrowIfDeep(text, file);
            var stream = new YamlStream();
            stream.Load(new StringReader(text));
            return stream.Documents.Count == 1 ? stream.Documents[0].RootNode
                : throw new RecipeException($"{file}: has {stream.Documents.Count} documents; a recipe is one.");
        }
        catch (YamlException e)
        {
            throw RecipeSection.At(file, e.Start, $"not valid YAML ({e.Message.TrimEnd('.')})", e);
        }
        // What the scanner says of some texts that are no YAML.
        catch (InvalidOperationException e)
        {
            throw new RecipeException($"{file}: not valid YAML ({e.Message.TrimEnd('.')}).", e);
        }
    }

    // The tree is built by recursion, which a file of brackets would drive over the stack's end.
    private static void ThrowIfDeep(string text, string file)
    {
        int depth = 0;
        for (var parser = new Parser(new StringReader(text)); parser.MoveNext();)
        {
            depth += parser.Current!.NestingIncrease;
            if (depth > MostDepth)
            {
                throw RecipeSection.At(file, parser.Current.Start, $"values are nested more than {MostDepth} deep");
            }
        }
    }

    private static ModelRecipe Model(RecipeSection section)
    {
        string? folder = section.Path("folder");
        var vision = section.Child("vision");
        var language = section.Child("language");
        if (folder is not null ? vision is not null || language is not null : vision is null || language is null)
        {
            throw section.Error("model is either one folder with all parts, or vision and language, which get a fresh connector");
        }
        var languageOrigin = language is null ? null : Language(language);
        var model = new ModelRecipe
        {
            Folder = folder,
            Vision = vision is null ? null : Vision(vision),
            Language = languageOrigin,
            Tokenizer = folder ?? Tokenizer(section, languageOrigin?.Folder),
            SelectLayer = (int)(section.Number("select_layer", n => n == Math.Floor(n) && Math.Abs(n) < 10_000, "a whole number, negative from the end") ?? -1),
            DownsampleRatio = section.Positive("downsample_ratio") ?? 0.5,
            PixelShuffle = section.Choice("ps_version", [("v1", PixelShuffleVersion.V1), ("v2", PixelShuffleVersion.V2)]) ?? PixelShuffleVersion.V2,
            ImageSize = section.Count("image_size"),
        };
        if (folder is not null && WithoutFolder.FirstOrDefault(section.Has) is { } key)
        {
            throw section.Error(key, $"{key} comes with the folder; leave it out");
        }
        section.End();
        return model;
    }

    private static int[] Seeds(RecipeSection root)
    {
        int[] seeds = [.. (root.Texts("seeds") ?? []).Select(text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int seed) ? seed : -1)];
        return seeds.Length > 0 && root.Has("seed") ? throw root.Error("seeds", "there is seed as well; give one of the two")
            : seeds.Contains(-1) || seeds.Distinct().Count() < seeds.Length ? throw root.Error("seeds", "seeds must be whole numbers, at least 0, all different") : seeds;
    }

    internal static string Tokenizer(RecipeSection section, string? absent) => section.Path("tokenizer") ?? absent
        ?? throw section.Error($"{section.Name} lacks tokenizer: a folder with tokenizer.json, or vocab.json and merges.txt");

    private static EncoderOrigin Vision(RecipeSection section)
    {
        string? folder = section.Path("folder"), preset = section.Text("preset");
        var sizes = section.Child("config");
        ThrowUnlessOne(section, "folder, preset or config", folder, preset, sizes);
        section.End();
        if (preset is not null && !EncoderPresets.Names.Contains(preset, StringComparer.OrdinalIgnoreCase))
        {
            throw section.Error("preset", $"preset is '{preset}'; known are {string.Join(", ", EncoderPresets.Names)}");
        }
        return new EncoderOrigin(folder, preset is not null ? EncoderPresets.Get(preset)
            : sizes is null ? null : Config(sizes, json => ConfigFile.Parse(json, sizes.File), config => ConfigFile.Text(config)));
    }

    internal static LanguageOrigin Language(RecipeSection section)
    {
        string? folder = section.Path("folder");
        var sizes = section.Child("config");
        ThrowUnlessOne(section, "folder or config", folder, sizes);
        section.End();
        return new LanguageOrigin(folder, sizes is null ? null
            : Config(sizes, json => LanguageConfigFile.Parse(json, sizes.File), config => LanguageConfigFile.Describe(config).ToJsonString()));
    }

    private static void ThrowUnlessOne(RecipeSection section, string which, params object?[] given)
    {
        if (given.Count(g => g is not null) != 1)
        {
            throw section.Error($"{section.Name} must have exactly one of {which}");
        }
    }

    // A config as in config.json. Its readers overlook what they do not know; a recipe's typing errors must not be overlooked.
    private static T Config<T>(RecipeSection section, Func<string, T> parse, Func<T, string> describe)
    {
        var json = section.Json();
        T config;
        System.Text.Json.Nodes.JsonObject known;
        try
        {
            config = parse(json.ToJsonString());
            known = System.Text.Json.Nodes.JsonNode.Parse(describe(config))!.AsObject();
        }
        catch (CheckpointException e)
        {
            // The reader names the file, the section knows the line.
            string problem = e.Message.StartsWith(section.File + ": ", StringComparison.Ordinal) ? e.Message[(section.File.Length + 2)..] : e.Message;
            throw section.Error($"{section.Name}: {problem.TrimEnd('.')}");
        }
        return json.Select(entry => entry.Key).FirstOrDefault(key => !known.ContainsKey(key)) is not { } unknown ? config
            : throw section.Error(unknown, $"{unknown} is no key of such a config; known are {string.Join(", ", known.Select(k => k.Key))}");
    }
}
