using SailVit.Kernels.Interop;
using SailVit.Model.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Evaluation;

/// <summary>How alike checkpoints are.</summary>
/// <param name="Names">The checkpoints.</param>
/// <param name="Distances">Per checkpoint, ‖w − mean‖ / ‖mean‖ over all weights.</param>
public sealed record SoupReport(IReadOnlyList<string> Names, IReadOnlyList<double> Distances)
{
    /// <summary>Above this distance checkpoints were hardly trained from one another: their average is likely to be nothing.</summary>
    public const double AlikeWithin = 0.3;

    /// <summary>Checkpoints that are far from the others.</summary>
    public IEnumerable<string> Unlike => Names.Where((_, i) => Distances[i] > AlikeWithin);
}

/// <summary>Averages the weights of like-trained checkpoints.</summary>
/// <remarks>Source: Wortsman et al. 2022, arXiv 2203.05482 (uniform soup); the SAIL-VL2 report (arXiv 2509.14033, Table 5) gains from
/// like-trained parts and collapses with unlike ones.</remarks>
public static class ModelSoup
{
    /// <summary>Averages and saves in the layout of the first.</summary>
    /// <param name="folders">Checkpoint folders of one architecture, at least two.</param>
    /// <param name="output">The new checkpoint folder; config and tokenizer files are copied from the first.</param>
    /// <param name="done">Called after each tensor with 1.</param>
    /// <param name="cancel">Looked at between tensors.</param>
    /// <exception cref="CheckpointException">A tensor is missing in one of them or has another shape; all such are listed.</exception>
    public static SoupReport Average(IReadOnlyList<string> folders, string output, Action<int>? done = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(folders);
        if (folders.Count < 2)
        {
            throw new ArgumentException($"A soup needs at least 2 checkpoints; {folders.Count} was given.", nameof(folders));
        }
        if (folders.Any(f => Files.AreSame(f, output)))
        {
            throw new ArgumentException($"{output}: is one of the checkpoints; the average must go elsewhere.", nameof(output));
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var checkpoints = new List<Checkpoint>();
        try
        {
            checkpoints.AddRange(folders.Select(Checkpoint.Open));
            CheckAlike(checkpoints);
            var (tensors, distances) = Mean(checkpoints, done, cancel);
            if (distances.Any(d => !double.IsFinite(d)))
            {
                throw new CheckpointException($"The weights of {string.Join(" or ", folders)} hold NaN or infinite values; their average would be worth nothing.");
            }
            CheckpointWriter.Write(output, tensors);
            CopySmallFiles(folders[0], output);
            return new(folders, distances);
        }
        finally
        {
            checkpoints.ForEach(c => c.Dispose());
        }
    }

    private static (Dictionary<string, Tensor> Tensors, double[] Distances) Mean(List<Checkpoint> checkpoints, Action<int>? done, CancellationToken cancel)
    {
        var tensors = new Dictionary<string, Tensor>();
        var apart = new double[checkpoints.Count];
        double size = 0;
        using Scalar count = checkpoints.Count;
        foreach (string name in checkpoints[0].Names)
        {
            cancel.ThrowIfCancellationRequested();
            using var inner = NewDisposeScope();
            var parts = checkpoints.ConvertAll(c => c.Read(name));
            var wide = parts.ConvertAll(p => p.to(float64));
            var mean = wide.Aggregate((a, b) => a.add(b, HeldScalar.One)).div(count);
            size += mean.mul(mean).sum().item<double>();
            for (int i = 0; i < apart.Length; i++)
            {
                var difference = wide[i] - mean;
                apart[i] += difference.mul(difference).sum().item<double>();
            }
            // Counters and indices are not averaged.
            tensors.Add(name, (parts[0].is_floating_point() ? mean.to(parts[0].dtype) : parts[0]).MoveToOuterDisposeScope());
            done?.Invoke(1);
        }
        return (tensors, Array.ConvertAll(apart, a => Math.Sqrt(a / Math.Max(size, double.Epsilon))));
    }

    private static void CheckAlike(List<Checkpoint> checkpoints)
    {
        var first = checkpoints[0];
        var problems = new List<string>();
        foreach (var other in checkpoints.Skip(1))
        {
            problems.AddRange(first.Names.Except(other.Names).Select(n => $"{other.Path} lacks {n}"));
            problems.AddRange(other.Names.Except(first.Names).Select(n => $"{other.Path} has {n} besides"));
            problems.AddRange(first.Names.Intersect(other.Names).Where(n => !first.Entry(n).Shape.SequenceEqual(other.Entry(n).Shape))
                .Select(n => $"{n} is [{string.Join(", ", other.Entry(n).Shape)}] in {other.Path}, [{string.Join(", ", first.Entry(n).Shape)}] in {first.Path}"));
        }
        if (problems.Count > 0)
        {
            throw new CheckpointException($"The checkpoints are not of one architecture: {string.Join("; ", problems.Take(20))}{(problems.Count > 20 ? $"; and {problems.Count - 20} more" : "")}.");
        }
    }

    private static void CopySmallFiles(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from).Where(f => Path.GetExtension(f) is ".json" or ".txt" or ".jinja" or ".py" && Path.GetFileName(f) != Checkpoint.IndexName))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)), overwrite: true);
        }
    }
}
