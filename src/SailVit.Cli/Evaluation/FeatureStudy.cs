using SailVit.Cli.Running;
using SailVit.Model.Evaluation;
using SailVit.Model.Multimodal;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Evaluation;

/// <summary>One pair of the table.</summary>
internal sealed record FeaturePair(string Encoder, string Language, long Tokens, long Words, double NearestNeighbour, double Wasserstein, double Overall);

/// <summary>Image features of encoders against the word vectors of language models, each reduced to its own plane.</summary>
internal sealed class FeatureStudy : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Dictionary<string, Tensor> _encoders = [];
    private readonly Dictionary<string, Tensor> _languages = [];

    public required IReadOnlyList<string> Encoders { get; init; }

    public required IReadOnlyList<string> Languages { get; init; }

    public required IReadOnlyList<string> Images { get; init; }

    /// <summary>Take connector outputs rather than the encoder's own.</summary>
    public bool Connector { get; init; }

    public required ScalarType DType { get; init; }

    public required FeatureDistanceOptions Distance { get; init; }

    public IReadOnlyList<FeaturePair> Pairs { get; private set; } = [];

    /// <summary>Points in the plane, [N, 2], by encoder and by language model.</summary>
    public (IReadOnlyDictionary<string, Tensor> Images, IReadOnlyDictionary<string, Tensor> Words) Clouds => (_encoders, _languages);

    /// <summary>Draws images by seed, in the order given.</summary>
    public static List<string> Sample(IReadOnlyList<string> images, int count, int seed)
    {
        if (count < 1)
        {
            throw new ArgumentException($"--count is {count}; it must be at least 1.");
        }
        if (images.Count <= count)
        {
            return [.. images];
        }
        int[] order = [.. Enumerable.Range(0, images.Count)];
        new Random(seed).Shuffle(order);
        return [.. order.Take(count).Order().Select(i => images[i])];
    }

    public void Run(CancellationToken cancel) =>
        JobProgress.Run("features", (Encoders.Count * Images.Count) + Languages.Count + (Encoders.Count * Languages.Count), report => Run(report, cancel));

    private void Run(Action<int> report, CancellationToken cancel)
    {
        // First what is cheap to find missing.
        foreach (string folder in Languages)
        {
            using var words = WordVectors.Read(folder);
            _languages.Add(folder, PrincipalPlane.Project(words, cancel));
            report(1);
        }
        foreach (string folder in Encoders)
        {
            using var tokens = Tokens(folder, report, cancel);
            _encoders.Add(folder, PrincipalPlane.Project(tokens, cancel));
        }
        var pairs = new List<FeaturePair>();
        foreach (string language in Languages)
        {
            foreach (string encoder in Encoders)
            {
                cancel.ThrowIfCancellationRequested();
                var (a, b) = (_encoders[encoder], _languages[language]);
                var d = FeatureDistance.Between(a, b, Distance);
                pairs.Add(new(encoder, language, a.shape[0], b.shape[0], d.NearestNeighbour, d.Wasserstein, d.Overall));
                report(1);
            }
        }
        Pairs = pairs;
    }

    private Tensor Tokens(string folder, Action<int> report, CancellationToken cancel)
    {
        if (Connector)
        {
            if (!MultimodalConfigFile.IsMultimodal(folder))
            {
                throw new ArgumentException($"{folder}: has no connector; --connector needs checkpoints of a whole SAIL-VL model.");
            }
            using var model = MultimodalModel.Load(folder, DType);
            model.eval();
            return ImageTokens.OfConnector(model, Images, report, cancel);
        }
        using var encoder = EncoderOptions.Load(folder, DType);
        return ImageTokens.Of(encoder, Images, report, cancel);
    }

    public void Dispose() => _scope.Dispose();
}
