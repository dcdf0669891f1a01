using System.CommandLine;
using SailVit.Kernels.Dispatch;
using SailVit.Model.Checkpoints;
using SailVit.Model.Encoders;
using SailVit.Model.Multimodal;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Running;

/// <summary>The options that say which encoder runs, and how; the same for every verb.</summary>
internal sealed class EncoderOptions
{
    private const string DefaultModel = "sailvit-large";

    private readonly Option<string?> _weights = new("--weights")
    {
        Description = "Checkpoint folder with config.json and safetensors; without it, random weights.",
        HelpName = "DIR",
    };

    private readonly Option<string?> _model = new("--model")
    {
        Description = $"Architecture of a model with random weights: {string.Join(", ", EncoderPresets.Names)} (default {DefaultModel}).",
        HelpName = "NAME",
    };

    private readonly Option<int> _seed = new("--seed") { Description = "Seed of random weights.", HelpName = "N", DefaultValueFactory = _ => 0 };

    private readonly Option<string> _dtype = new("--dtype") { Description = "Storage of weights and features.", DefaultValueFactory = _ => "float32" };

    private readonly Option<string?> _backend = BackendOption.Create();

    public EncoderOptions() => _dtype.AcceptOnlyFromAmong("float32", "bfloat16");

    public IEnumerable<Option> All => [_weights, _model, _seed, _dtype, _backend];

    /// <summary>Options for a verb that needs weights.</summary>
    public IEnumerable<Option> WithWeights
    {
        get
        {
            _weights.Required = true;
            _weights.Description = "Checkpoint folder with config.json and safetensors.";
            return [_weights, _dtype, _backend];
        }
    }

    /// <summary>Forces the backend until disposed; without the option, the environment's choice holds.</summary>
    public IDisposable UseBackend(ParseResult result) => BackendOption.Use(result, _backend);

    public ScalarType DType(ParseResult result) => result.GetValue(_dtype) == "bfloat16" ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <summary>The architecture, from the checkpoint or by name.</summary>
    public EncoderConfig Config(ParseResult result)
    {
        string? weights = result.GetValue(_weights), model = result.GetValue(_model);
        if (weights is not null && model is not null)
        {
            throw new ArgumentException("--weights and --model exclude each other: a checkpoint's config.json says which model it is.");
        }
        return weights is null ? EncoderPresets.Get(model ?? DefaultModel) : ConfigFile.Read(ConfigBeside(weights));
    }

    /// <summary>The folder of a multimodal checkpoint; null where the weights are of an encoder alone.</summary>
    public string? MultimodalFolder(ParseResult result) =>
        result.GetValue(_weights) is { } weights && MultimodalConfigFile.IsMultimodal(ConfigBeside(weights))
            ? File.Exists(weights) ? Path.GetDirectoryName(Path.GetFullPath(weights)) : weights
            : null;

    /// <summary>Which hidden state the multimodal model around the encoder uses, where the checkpoint is of one.</summary>
    public int? SelectLayer(ParseResult result) => result.GetValue(_weights) is { } weights ? ConfigFile.ReadSelectLayer(ConfigBeside(weights)) : null;

    /// <summary>The encoder, loaded or random.</summary>
    /// <param name="result">The parsed command line.</param>
    /// <param name="description">What it is, for the output: random weights must never pass for real ones.</param>
    public VisionTransformer Encoder(ParseResult result, out string description)
    {
        var config = Config(result);
        if (result.GetValue(_weights) is { } weights)
        {
            description = weights;
            return Load(weights, DType(result));
        }
        int seed = result.GetValue(_seed);
        description = $"random weights of {result.GetValue(_model) ?? DefaultModel}, seed {seed}: the features carry no meaning";
        random.manual_seed(seed);
        return Ready(new VisionTransformer(config), DType(result));
    }

    /// <summary>The encoder of a checkpoint, ready for features.</summary>
    public static VisionTransformer Load(string weights, ScalarType dtype)
    {
        var encoder = new VisionTransformer(ConfigFile.Read(ConfigBeside(weights)), initialize: false);
        try
        {
            CheckpointLoader.Load(encoder, weights, encoder.Config.Family);
            return Ready(encoder, dtype);
        }
        catch
        {
            encoder.Dispose();
            throw;
        }
    }

    /// <summary>What the weights come from: the files of the checkpoint, or the model and seed of random ones.</summary>
    public IEnumerable<string> Sources(ParseResult result) =>
        result.GetValue(_weights) is { } weights ? Sources(weights) : [result.GetValue(_model) ?? DefaultModel, $"seed {result.GetValue(_seed)}"];

    /// <summary>The files of a checkpoint.</summary>
    public static IEnumerable<string> Sources(string weights)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(File.Exists(weights) ? weights : Path.Combine(weights, ConfigFile.Name)))!;
        return [Path.GetFullPath(weights), .. Directory.GetFiles(folder).Where(IsOfCheckpoint).Order(StringComparer.Ordinal)];
    }

    private static VisionTransformer Ready(VisionTransformer encoder, ScalarType dtype)
    {
        encoder.to(dtype);
        encoder.eval();
        return encoder;
    }

    internal static bool IsOfCheckpoint(string file) => Path.GetFileName(file) is ConfigFile.Name or Checkpoint.IndexName || file.EndsWith(".safetensors", StringComparison.Ordinal);

    // --weights may also name the safetensors file or the index itself.
    private static string ConfigBeside(string weights) => File.Exists(weights)
        ? Path.Combine(Path.GetDirectoryName(Path.GetFullPath(weights))!, ConfigFile.Name)
        : weights;
}
