using SailVit.Model.Evaluation;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Evaluation;

public sealed class FeatureDistanceTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(7);

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
    }

    private Tensor Cloud(long points) => randn(points, 2, dtype: float64, generator: _random);

    [Fact]
    public void Line_ByHand()
    {
        // F rises to 1/2 at 0 and to 1 at 1, G to 1 at 2: half a unit of area, then a whole one.
        Assert.Equal(1.5, FeatureDistance.Line(tensor([1.0, 0.0]), tensor([2.0])), 1e-15);
        Assert.Equal(0, FeatureDistance.Line(tensor([3.0, 1.0, 1.0]), tensor([1.0, 1.0, 3.0])), 1e-15);
    }

    [Theory]
    [InlineData(6, 4)]
    [InlineData(1, 9)]
    [InlineData(35, 20)]
    public void Line_IsTheMeanDistanceOfQuantiles(int n, int m)
    {
        double[] x = [.. randn(n, dtype: float64, generator: _random).data<double>()], y = [.. (randn(m, dtype: float64, generator: _random) * 2).data<double>()];
        // Each sample repeated until there are as many of both.
        double[] Repeated(double[] of, int times) => [.. of.Order().SelectMany(v => Enumerable.Repeat(v, times))];
        double expected = Repeated(x, m).Zip(Repeated(y, n), (a, b) => Math.Abs(a - b)).Average();
        Assert.Equal(expected, FeatureDistance.Line(tensor(x), tensor(y)), 1e-12);
    }

    [Fact]
    public void NearestAndOverall_ByTwoLoops()
    {
        var (a, b) = (Cloud(23), Cloud(31));
        double[] x = [.. a.data<double>()], y = [.. b.data<double>()];
        double Distance(int i, int j) => Math.Sqrt(Math.Pow(x[2 * i] - y[2 * j], 2) + Math.Pow(x[(2 * i) + 1] - y[(2 * j) + 1], 2));
        var rows = Enumerable.Range(0, 23).Select(i => Enumerable.Range(0, 31).Select(j => Distance(i, j)).ToArray()).ToArray();
        var found = FeatureDistance.Between(a, b);
        Assert.Equal(rows.Average(r => r.Min()), found.NearestNeighbour, 1e-12);
        Assert.Equal(rows.Average(r => r.Average()), found.Overall, 1e-12);
    }

    [Fact]
    public void ManyWords_AreTakenInParts()
    {
        var (a, b) = (Cloud(9), Cloud(2_000_000));
        var whole = FeatureDistance.Between(a, b, new(WassersteinKind.Axes));
        var parts = Enumerable.Range(0, 9).Select(i => FeatureDistance.Between(a.narrow(0, i, 1), b, new(WassersteinKind.Axes))).ToList();
        Assert.Equal(parts.Average(p => p.NearestNeighbour), whole.NearestNeighbour, 1e-12);
        Assert.Equal(parts.Average(p => p.Overall), whole.Overall, 1e-9);
    }

    [Fact]
    public void AMovedCloud_IsAsFarAsItWasMoved()
    {
        var a = Cloud(40);
        var b = a + tensor([3.0, -4.0]);
        Assert.Equal(3.5, FeatureDistance.Between(a, b, new(WassersteinKind.Axes)).Wasserstein, 1e-12);
        // The mean of |5 cos| over half a turn is 10/π; 64 directions come within 1e-3.
        Assert.Equal(10 / Math.PI, FeatureDistance.Between(a, b).Wasserstein, 2e-3);
    }

    [Fact]
    public void Standardised_DistancesDoNotDependOnTheUnit()
    {
        var (a, b) = (Cloud(20), Cloud(30) + 1);
        var one = FeatureDistance.Between(a, b, new(Standardise: true));
        var other = FeatureDistance.Between(a * 250, b * 250, new(Standardise: true));
        Assert.Equal(one.NearestNeighbour, other.NearestNeighbour, 1e-12);
        Assert.Equal(one.Wasserstein, other.Wasserstein, 1e-12);
        Assert.Equal(one.Overall, other.Overall, 1e-12);
        Assert.NotEqual(one.Overall, FeatureDistance.Between(a, b).Overall, 1e-3);
    }

    [Fact]
    public void Plane_IsThatOfTheLargestVariance()
    {
        // Orthonormal columns of mean 0, stretched by known amounts and turned.
        var centred = randn(50, 6, dtype: float64, generator: _random);
        var (z, _) = linalg.qr(centred - centred.mean([0], keepdim: true));
        var (directions, _) = linalg.qr(randn(6, 6, dtype: float64, generator: _random));
        var scales = tensor([0.1, 3.0, 0.5, 5.0, 1.0, 0.2]);
        var plane = PrincipalPlane.Project((z * scales).matmul(directions.t()) + 17);
        Assert.Equal([50L, 2L], plane.shape);
        foreach (var (column, source) in new[] { (0, 3), (1, 1) })
        {
            var direction = directions.select(1, source);
            double sign = Math.Sign(direction[direction.abs().argmax()].item<double>());
            Assert.True(plane.select(1, column).allclose(z.select(1, source) * scales[source] * sign, 1e-9, 1e-9));
        }
    }

    [Fact]
    public void WrongShapes_AreRefused()
    {
        Assert.Contains("[5, 3]", Assert.Throws<ArgumentException>(() => FeatureDistance.Between(zeros(5, 3), zeros(5, 2))).Message, StringComparison.Ordinal);
        Assert.Contains("words", Assert.Throws<ArgumentException>(() => FeatureDistance.Between(zeros(5, 2), zeros(0, 2))).Message, StringComparison.Ordinal);
        Assert.Contains("[4, 1]", Assert.Throws<ArgumentException>(() => PrincipalPlane.Project(zeros(4, 1))).Message, StringComparison.Ordinal);
    }
}
