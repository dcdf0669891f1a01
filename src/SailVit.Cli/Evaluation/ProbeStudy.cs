using SailVit.Cli.Running;
using SailVit.Model.Checkpoints;
using SailVit.Model.Evaluation;
using static TorchSharp.torch;

namespace SailVit.Cli.Evaluation;

/// <summary>What a probe of one encoder found on one test set.</summary>
internal sealed record ProbeResult(string Encoder, ProbeKind Kind, string Test, int Right, int Images, double Accuracy, double Low, double High)
{
    public string Shown => new Accuracy(Right, Images).ToString();
}

/// <summary>Encodes the sets once per encoder and reads the classes off the features.</summary>
internal sealed class ProbeStudy
{
    private readonly ImageClasses _train;
    private readonly IReadOnlyList<ImageClasses> _tests;
    private readonly string _trainName;

    public ProbeStudy(string train, IReadOnlyList<string> tests)
    {
        _trainName = train;
        _train = ImageClasses.Open(train);
        Tests = tests;
        _tests = [.. tests.Select(t => ImageClasses.Open(t, _train.Classes))];
    }

    public IReadOnlyList<string> Tests { get; }

    public required IReadOnlyList<ProbeOptions> Probes { get; init; }

    public required ScalarType DType { get; init; }

    public int BatchSize { get; init; } = 8;

    /// <summary>Folder of features from earlier runs; null to keep none.</summary>
    public string? Cache { get; init; }

    public int ImagesPerEncoder => _train.Images.Count + _tests.Sum(t => t.Images.Count);

    /// <summary>Encodes and probes.</summary>
    /// <param name="encoders">Checkpoint folders.</param>
    /// <param name="cancel">Looked at between batches and probes.</param>
    public IReadOnlyList<ProbeResult> Run(IReadOnlyList<string> encoders, CancellationToken cancel)
    {
        var results = new List<ProbeResult>();
        if (Cache is not null)
        {
            Files.CreateFolder(Cache);
        }
        // The mean serves all but the attentive probe, which needs every token.
        var needs = Probes.GroupBy(p => p.Kind != ProbeKind.Attentive).ToList();
        JobProgress.Run("probe", encoders.Count * ((ImagesPerEncoder * needs.Count) + Probes.Count), report =>
        {
            foreach (string weights in encoders)
            {
                using var encoder = EncoderOptions.Load(weights, DType);
                foreach (var need in needs)
                {
                    ProbeFeatures Features(ImageClasses set, string name) => ProbeFeatures.Encode(encoder, set, need.Key, CacheFile(weights, name, need.Key), Identity(weights, set), BatchSize, report, cancel);
                    using var train = Features(_train, _trainName);
                    var tests = _tests.Zip(Tests, Features).ToList();
                    foreach (var options in need)
                    {
                        cancel.ThrowIfCancellationRequested();
                        results.AddRange(Probe.Run(train, tests, _train.Classes.Count, options)
                            .Select((a, i) => new ProbeResult(weights, options.Kind, Tests[i], a.Right, a.All, a.Value, a.Interval.Low, a.Interval.High)));
                        report(1);
                    }
                    tests.ForEach(t => t.Dispose());
                }
            }
        });
        return results;
    }

    private string Identity(string weights, ImageClasses set)
    {
        var identity = EmbedIdentity.Of(EncoderOptions.Sources(weights), set.Files, $"{DType}", $"batch {BatchSize}");
        // The number of a class follows from the names of all of them.
        return $"{identity} {string.Join('/', set.Classes)}";
    }

    private string? CacheFile(string weights, string set, bool mean) => Cache is null ? null
        : Path.Combine(Cache, $"{EmbedIdentity.Hash([Path.GetFullPath(weights), Path.GetFullPath(set), $"{DType}"])[..16]}-{(mean ? "mean" : "tokens")}.safetensors");
}
