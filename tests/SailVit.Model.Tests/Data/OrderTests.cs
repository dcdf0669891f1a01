using SailVit.Model.Data;
using Xunit;

namespace SailVit.Model.Tests.Data;

public sealed class OrderTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(17)]
    [InlineData(1000)]
    [InlineData(4097)]
    public void APermutationMeetsEachOnce(int count)
    {
        var order = new Permutation(count, 5);
        var places = Enumerable.Range(0, count).Select(i => order[i]).ToList();
        Assert.Equal(Enumerable.Range(0, count).Select(i => (long)i), places.Order());
    }

    [Fact]
    public void APermutationLooksRandom()
    {
        const int N = 10_000;
        var a = new Permutation(N, 1);
        var b = new Permutation(N, 2);
        long[] x = [.. Enumerable.Range(0, N).Select(i => a[i])];
        // Neighbours are far apart, few stay in place, and two seeds have little in common. About 1 each is expected of the last two.
        Assert.InRange(x.Zip(x.Skip(1), (p, q) => Math.Abs(p - q)).Average(), 0.3 * N, 0.37 * N);
        Assert.InRange(x.Where((p, i) => p == i).Count(), 0, 8);
        Assert.InRange(x.Where((p, i) => p == b[i]).Count(), 0, 8);
    }

    [Fact]
    public void GroupsStayTogetherWhileTheyAreShuffled()
    {
        long[] groups = [.. Enumerable.Range(0, 40).Select(i => (long)(i % 3 == 0 ? 0 : 5 + i))];
        var order = new SampleOrder(groups, shuffle: true, seed: 9);
        int total = (int)groups.Sum();
        long[] ends = [.. groups.Select((_, i) => groups.Take(i + 1).Sum())];
        var visited = Enumerable.Range(0, total).Select(i => order[i]).ToList();
        Assert.Equal(Enumerable.Range(0, total).Select(i => (long)i), visited.Order());
        Assert.NotEqual(visited.Order(), visited);
        // No group is opened again after those that were shuffled with it are done.
        var groupOf = visited.Select(v => Array.FindIndex(ends, end => v < end)).ToList();
        Assert.All(Enumerable.Range(0, groups.Length).Where(g => groups[g] > 0), g =>
            Assert.InRange(groupOf.Skip(groupOf.IndexOf(g)).Take(groupOf.LastIndexOf(g) - groupOf.IndexOf(g)).Distinct().Count(), 1, SampleOrder.GroupsTogether));
        Assert.Equal(Enumerable.Range(0, total).Select(i => (long)i), Enumerable.Range(0, total).Select(i => new SampleOrder(groups, shuffle: false, seed: 9)[i]));
    }

    [Fact]
    public void AMixtureKeepsItsWeights()
    {
        using var a = new Fixed(100);
        using var b = new Fixed(300);
        var mixture = new Mixture([new(a, 3), new(b, 1)], shuffle: true, seed: 1);
        // 4σ of a binomial with p = 3/4.
        Assert.InRange(Enumerable.Range(0, 10_000).Count(i => mixture.SourceAt(i) == 0), 7500 - 174, 7500 + 174);
        var natural = new Mixture([new(a), new(b)], shuffle: true, seed: 1);
        Assert.InRange(Enumerable.Range(0, 10_000).Count(i => natural.SourceAt(i) == 0), 2500 - 174, 2500 + 174);
        // Each epoch meets each sample once, in another order.
        string[][] epochs = [.. Enumerable.Range(0, 2).Select(e => Enumerable.Range(0, 100).Select(i => mixture.Read(new Draw(0, 0, (e * 100) + i)).Id).ToArray())];
        Assert.Equal(epochs[0].Order(), epochs[1].Order());
        Assert.NotEqual(epochs[0], epochs[1]);
        Assert.Equal(100, epochs[0].Distinct().Count());
        Assert.Throws<ArgumentException>(() => new Mixture([new(a, 0)], true, 1));
        Assert.Throws<ArgumentException>(() => new Mixture([], true, 1));
    }

    private sealed class Fixed(int count) : ISampleSource
    {
        public string Name => "fixed";

        public long Count => count;

        public IReadOnlyList<long> Groups => [count];

        public IReadOnlyList<Skip> Damage => [];

        public ConversationSample Read(long index) => new($"{index}", [], []);

        public void Dispose() { }
    }
}
