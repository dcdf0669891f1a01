using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Evaluation;

/// <summary>Which Wasserstein distance between two clouds in the plane; the report names none.</summary>
public enum WassersteinKind
{
    /// <summary>Mean of the one-dimensional distances along 64 directions, evenly spaced over half a turn.</summary>
    Sliced,

    /// <summary>Mean of the one-dimensional distances along the two axes.</summary>
    Axes,
}

/// <summary>What the report leaves open.</summary>
/// <param name="Wasserstein">Variant.</param>
/// <param name="Standardise">Whether both clouds are divided by the joint standard deviation first; the report's numbers are not on a unit scale.</param>
public sealed record FeatureDistanceOptions(WassersteinKind Wasserstein = WassersteinKind.Sliced, bool Standardise = false);

/// <summary>How far image features are from a language model's word vectors, in the plane.</summary>
/// <param name="NearestNeighbour">Mean over image points of the distance to the nearest word point.</param>
/// <param name="Wasserstein">Cost of moving one cloud onto the other, order 1.</param>
/// <param name="Overall">Mean distance over all pairs.</param>
/// <remarks>Source: SAIL-VL2 report, arXiv 2509.14033, §6.2.1 and Table 7. It reduces image tokens by PCA to two dimensions;
/// that words are reduced alike, on their own, is this project's reading.</remarks>
public sealed record FeatureDistance(double NearestNeighbour, double Wasserstein, double Overall)
{
    // 64 MB of distances at a time.
    private const long PairsPerChunk = 8L << 20;
    private const int Directions = 64;

    /// <summary>Measures two clouds in the plane.</summary>
    /// <param name="images">[N, 2], from <see cref="PrincipalPlane"/>.</param>
    /// <param name="words">[M, 2].</param>
    /// <param name="options">What the report leaves open.</param>
    /// <exception cref="ArgumentException">A cloud is empty or not in the plane.</exception>
    public static FeatureDistance Between(Tensor images, Tensor words, FeatureDistanceOptions? options = null)
    {
        Check(images, nameof(images));
        Check(words, nameof(words));
        options ??= new();
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var (a, b) = (images.detach().to(float64), words.detach().to(float64));
        if (options.Standardise)
        {
            var deviation = cat([a, b]).std();
            (a, b) = (a / deviation, b / deviation);
        }
        var (nearest, overall) = Pairs(a, b);
        return new(nearest, options.Wasserstein == WassersteinKind.Axes ? Axes(a, b) : Sliced(a, b), overall);
    }

    private static (double Nearest, double Overall) Pairs(Tensor a, Tensor b)
    {
        double nearest = 0, overall = 0;
        long rows = Math.Max(1, PairsPerChunk / b.shape[0]);
        for (long first = 0; first < a.shape[0]; first += rows)
        {
            using var scope = NewDisposeScope();
            var distances = cdist(a.narrow(0, first, Math.Min(rows, a.shape[0] - first)), b);
            nearest += distances.amin([1]).sum().item<double>();
            overall += distances.sum().item<double>();
        }
        return (nearest / a.shape[0], overall / a.shape[0] / b.shape[0]);
    }

    private static double Axes(Tensor a, Tensor b) => (Line(a.select(1, 0), b.select(1, 0)) + Line(a.select(1, 1), b.select(1, 1))) / 2;

    private static double Sliced(Tensor a, Tensor b)
    {
        double sum = 0;
        for (int i = 0; i < Directions; i++)
        {
            using var scope = NewDisposeScope();
            var (sin, cos) = Math.SinCos(Math.PI * i / Directions);
            var direction = tensor([cos, sin]);
            sum += Line(a.matmul(direction), b.matmul(direction));
        }
        return sum / Directions;
    }

    /// <summary>∫ |F(x) − G(x)| dx of two empirical distributions: the distance of order 1 on a line.</summary>
    internal static double Line(Tensor a, Tensor b)
    {
        using var scope = NewDisposeScope();
        var (x, y) = (a.sort(0).Values, b.sort(0).Values);
        var all = cat([x, y]).sort(0).Values;
        var points = all.narrow(0, 0, all.shape[0] - 1);
        using Scalar first = x.shape[0], second = y.shape[0];
        var f = searchsorted(x, points, right: true).to(float64).div(first);
        var g = searchsorted(y, points, right: true).to(float64).div(second);
        return ((f - g).abs() * all.diff()).sum().item<double>();
    }

    private static void Check(Tensor cloud, string name)
    {
        ArgumentNullException.ThrowIfNull(cloud, name);
        if (cloud.dim() != 2 || cloud.shape[0] < 1 || cloud.shape[1] != 2)
        {
            throw new ArgumentException($"{name} has shape [{string.Join(", ", cloud.shape)}]; it must be [N, 2] with at least one point. Reduce it with PrincipalPlane.", name);
        }
    }
}
