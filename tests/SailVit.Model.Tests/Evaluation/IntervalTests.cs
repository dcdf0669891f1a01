using SailVit.Model.Evaluation;
using Xunit;

namespace SailVit.Model.Tests.Evaluation;

public sealed class IntervalTests
{
    // By hand: deviation 2, t(2) = 4.303, 4.303 · 2 / √3.
    [Fact]
    public void ThreeRuns_HaveStudentsInterval()
    {
        var interval = Interval.Of([1, 3, 5]);
        Assert.Equal(3, interval.Mean, 12);
        Assert.Equal(4.9687, interval.HalfWidth!.Value, 3);
    }

    [Fact]
    public void OneRun_HasNone() => Assert.Equal(new Interval(7, null), Interval.Of([7]));

    [Fact]
    public void NoRun_IsRefused() => Assert.Throws<ArgumentException>(() => Interval.Of([]));
}
