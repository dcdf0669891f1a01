using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Cli.Quickstart;

/// <summary>One encoder in the comparison, with what it cost.</summary>
internal sealed class Contender(string name, Func<Tensor, Tensor> encode)
{
    private readonly List<double> _milliseconds = [];

    public string Name { get; } = name;

    /// <summary>Median time of one photograph.</summary>
    public double Milliseconds => _milliseconds.Order().ElementAt(_milliseconds.Count / 2);

    /// <summary>Highest memory over what the process held before the model was built: weights, packed weights, activations.</summary>
    public long PeakBytes { get; set; }

    public List<Tensor> Features { get; } = [];

    public Tensor Encode(Tensor pixels)
    {
        using var noGrad = no_grad();
        return encode(pixels);
    }

    public void EncodeTimed(Tensor pixels, bool keep)
    {
        var watch = Stopwatch.StartNew();
        var features = Encode(pixels);
        _milliseconds.Add(watch.Elapsed.TotalMilliseconds);
        if (keep)
        {
            Features.Add(features);
        }
        else
        {
            features.Dispose();
        }
    }
}

/// <summary>Encodes every photograph with both contenders in turn, so that a noisy machine disturbs both alike.</summary>
internal static class Comparison
{
    public static void Run(IReadOnlyList<Contender> contenders, IReadOnlyList<Tensor> photos, int rounds, Action<int> progress)
    {
        for (int round = 0; round < rounds; round++)
        {
            foreach (var photo in photos)
            {
                foreach (var contender in contenders)
                {
                    contender.EncodeTimed(photo, keep: round == 0);
                    progress(1);
                }
            }
        }
    }

    /// <summary>Builds a contender, encodes one photograph to warm up, and notes the memory that both took.</summary>
    public static Contender Build(string name, Func<Func<Tensor, Tensor>> build, Tensor photo)
    {
        GC.Collect();
        ResidentMemory.Reset();
        long before = Environment.WorkingSet;
        var contender = new Contender(name, build());
        contender.Encode(photo).Dispose();
        contender.PeakBytes = Math.Max(ResidentMemory.Peak - before, 0);
        return contender;
    }

    /// <summary>‖a − b‖ / ‖b‖ over all photographs.</summary>
    public static double RelativeError(Contender ours, Contender stock)
    {
        using var scope = NewDisposeScope();
        double difference = 0, norm = 0;
        foreach (var (a, b) in ours.Features.Zip(stock.Features))
        {
            var reference = b.to(float64);
            var error = a.to(float64) - reference;
            difference += error.mul(error).sum().item<double>();
            norm += reference.mul(reference).sum().item<double>();
        }
        return Math.Sqrt(difference / norm);
    }
}
