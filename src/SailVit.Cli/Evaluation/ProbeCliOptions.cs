using System.CommandLine;
using SailVit.Cli.Running;
using SailVit.Model.Evaluation;
using Spectre.Console;

namespace SailVit.Cli.Evaluation;

/// <summary>The options of a probe, and its table.</summary>
internal sealed class ProbeCliOptions(bool required)
{
    private static readonly ProbeOptions Defaults = new();

    private readonly Option<string?> _train = new("--train") { Description = "Training images, one folder per class, or Parquet with columns image and label.", HelpName = "DIR", Required = required };
    private readonly Option<string[]> _test = EvalOptions.Many("--test", "Test images; several sets are tested alike.", "DIR", required);
    private readonly Option<ProbeKind[]> _kind = new("--kind")
    {
        Description = "mlp (the mean of the tokens, two layers: the report's), linear, attentive (a learned query), nearest (neighbours vote).",
        AllowMultipleArgumentsPerToken = true,
        DefaultValueFactory = _ => [required ? ProbeKind.Mlp : ProbeKind.Nearest],
    };

    private readonly Option<int> _epochs = new("--epochs") { Description = "Passes over the training set.", DefaultValueFactory = _ => Defaults.Epochs };
    private readonly Option<int> _batch = new("--batch-size") { Description = "Images per training step.", DefaultValueFactory = _ => Defaults.BatchSize };
    private readonly Option<double> _rate = new("--learning-rate") { Description = "AdamW's, falling as a cosine.", DefaultValueFactory = _ => Defaults.LearningRate };
    private readonly Option<double> _decay = new("--weight-decay") { Description = "AdamW's.", DefaultValueFactory = _ => Defaults.WeightDecay };
    private readonly Option<int> _hidden = new("--hidden") { Description = "Width between the layers of mlp; 0: that of the features.", DefaultValueFactory = _ => Defaults.Hidden };
    private readonly Option<int> _heads = new("--heads") { Description = "Heads of attentive.", DefaultValueFactory = _ => Defaults.Heads };
    private readonly Option<int> _neighbours = new("--neighbours") { Description = "How many vote in nearest.", DefaultValueFactory = _ => Defaults.Neighbours };
    private readonly Option<int> _seed = new("--seed") { Description = "Of initial weights and order.", DefaultValueFactory = _ => Defaults.Seed };
    private readonly Option<int> _encode = new("--encode-batch-size") { Description = "Images per forward pass of the encoder.", DefaultValueFactory = _ => 8 };
    private readonly Option<string?> _cache = new("--cache") { Description = "Folder that keeps features for the next run with the same encoder and images.", HelpName = "DIR" };
    private readonly Option<string> _dtype = EvalOptions.DType();

    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[_train, _test, _kind, _epochs, _batch, _rate, _decay, _hidden, _heads, _neighbours, _seed, _encode, _cache, _dtype])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>The study that is asked for; null where no images are given.</summary>
    public ProbeStudy? Study(ParseResult result)
    {
        string[] tests = result.GetValue(_test) ?? [];
        if (result.GetValue(_train) is not { } train)
        {
            return tests.Length == 0 ? null : throw new ArgumentException("--test needs --train: the probe learns from it.");
        }
        if (tests.Length == 0)
        {
            throw new ArgumentException("--train needs --test: the probe is judged by it.");
        }
        if (result.GetValue(_encode) < 1)
        {
            throw new ArgumentException($"--encode-batch-size is {result.GetValue(_encode)}; it must be at least 1.");
        }
        var options = Defaults with
        {
            Epochs = result.GetValue(_epochs),
            BatchSize = result.GetValue(_batch),
            LearningRate = result.GetValue(_rate),
            WeightDecay = result.GetValue(_decay),
            Hidden = result.GetValue(_hidden),
            Heads = result.GetValue(_heads),
            Neighbours = result.GetValue(_neighbours),
            Seed = result.GetValue(_seed),
        };
        options.Validate();
        return new ProbeStudy(train, EvalOptions.Distinct(tests, _test.Name))
        {
            Probes = [.. result.GetValue(_kind)!.Distinct().Select(kind => options with { Kind = kind })],
            DType = EvalOptions.DType(result, _dtype),
            BatchSize = result.GetValue(_encode),
            Cache = result.GetValue(_cache),
        };
    }

    /// <summary>One row per encoder and probe, one column per test set.</summary>
    public static void Show(IReadOnlyList<ProbeResult> results, IReadOnlyList<string> tests)
    {
        var table = new Table().AddColumns(["encoder", "probe", .. tests.Select(Markup.Escape)]);
        foreach (var row in results.GroupBy(r => (r.Encoder, r.Kind)))
        {
            table.AddRow([Markup.Escape(row.Key.Encoder), row.Key.Kind.ToString().ToLowerInvariant(), .. row.Select(r => r.Shown)]);
        }
        Screen.Write(table);
    }
}
