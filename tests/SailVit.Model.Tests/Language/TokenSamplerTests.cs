using SailVit.Model.Language;
using Xunit;

namespace SailVit.Model.Tests.Language;

public sealed class TokenSamplerTests
{
    private const int Draws = 20_000;

    private static readonly float[] Scores = [.. new[] { 0.4, 0.3, 0.15, 0.1, 0.05 }.Select(p => (float)Math.Log(p))];

    private static double[] Frequencies(GenerationOptions options, float[]? scores = null)
    {
        var sampler = new TokenSampler(options, [], 0);
        var counts = new double[Scores.Length];
        for (int i = 0; i < Draws; i++)
        {
            counts[sampler.Next((scores ?? Scores).ToArray())]++;
        }
        return [.. counts.Select(c => c / Draws)];
    }

    // Five standard deviations of a share of 20,000 draws.
    private static void AssertShares(double[] expected, double[] actual) =>
        Assert.All(expected.Zip(actual), pair => Assert.InRange(Math.Abs(pair.First - pair.Second), 0, (5 * Math.Sqrt(pair.First * (1 - pair.First) / Draws)) + 1e-12));

    [Fact]
    public void Temperature_DrawsFromTheSoftmax()
    {
        AssertShares([0.4, 0.3, 0.15, 0.1, 0.05], Frequencies(new() { Temperature = 1, Seed = 1 }));
        double[] squared = [0.16, 0.09, 0.0225, 0.01, 0.0025];
        AssertShares([.. squared.Select(p => p / squared.Sum())], Frequencies(new() { Temperature = 0.5, Seed = 2 }));
    }

    [Fact]
    public void TopK_DrawsFromTheMostLikely() => AssertShares([4 / 7.0, 3 / 7.0, 0, 0, 0], Frequencies(new() { Temperature = 1, TopK = 2, Seed = 3 }));

    [Theory]
    [InlineData(0.39, 1)]
    [InlineData(0.41, 2)]
    [InlineData(0.69, 2)]
    [InlineData(0.71, 3)]
    [InlineData(0.96, 5)]
    public void TopP_DrawsFromTheFewestWithThatProbability(double p, int kept)
    {
        double[] shares = [0.4, 0.3, 0.15, 0.1, 0.05];
        double sum = shares.Take(kept).Sum();
        AssertShares([.. shares.Select((share, i) => i < kept ? share / sum : 0)], Frequencies(new() { Temperature = 1, TopP = p, Seed = 4 }));
    }

    [Fact]
    public void TopP_AfterTopK_CountsWhatTopKLeft() =>
        // Of 0.4, 0.3, 0.15 the first two have 0.82.
        AssertShares([4 / 7.0, 3 / 7.0, 0, 0, 0], Frequencies(new() { Temperature = 1, TopK = 3, TopP = 0.8, Seed = 5 }));

    [Fact]
    public void TopP_LeavesUnlikelyTokensOfALargeVocabularyWithoutLosingAny()
    {
        float[] scores = [.. Enumerable.Range(0, 50_000).Select(i => (float)Math.Log(1.0 / 50_000))];
        var sampler = new TokenSampler(new() { Temperature = 1, TopP = 0.5, Seed = 6 }, [], 0);
        for (int i = 0; i < 50; i++)
        {
            // Equals are taken by id: the nucleus is the first half.
            Assert.InRange(sampler.Next(scores.ToArray()), 0, 25_000);
        }
    }

    [Fact]
    public void RepetitionPenalty_FollowsPromptAndAnswer()
    {
        var sampler = new TokenSampler(new() { RepetitionPenalty = 2 }, [0, 1], 0);
        // 0 is halved to 1.5, 1 doubled to −2: 2 wins, and is then penalised itself.
        Assert.Equal(2, sampler.Next([3, -1, 2]));
        Assert.Equal(0, sampler.Next([3, -1, 2]));
    }

    [Fact]
    public void SameSeed_SameDraws_OtherSequencesOthers()
    {
        int[] Draw(int seed, int index)
        {
            var sampler = new TokenSampler(new() { Temperature = 1, Seed = seed }, [], index);
            return [.. Enumerable.Range(0, 40).Select(_ => sampler.Next(Scores.ToArray()))];
        }
        Assert.Equal(Draw(7, 0), Draw(7, 0));
        Assert.NotEqual(Draw(7, 0), Draw(8, 0));
        Assert.NotEqual(Draw(7, 0), Draw(7, 1));
    }

    [Fact]
    public void Greedy_TakesTheFirstOfTheLargest_AndRefusesNaN()
    {
        var sampler = new TokenSampler(new(), [], 0);
        Assert.Equal(1, sampler.Next([1, 5, 5, 2]));
        Assert.Contains("not finite", Assert.Throws<InvalidOperationException>(() => sampler.Next([float.NaN, float.NaN])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Temperature")]
    [InlineData("TopP")]
    [InlineData("TopK")]
    [InlineData("RepetitionPenalty")]
    [InlineData("MaxNewTokens")]
    public void BadOptions_AreNamed(string name)
    {
        var options = name switch
        {
            "Temperature" => new GenerationOptions { Temperature = -1 },
            "TopP" => new() { TopP = 0 },
            "TopK" => new() { TopK = -1 },
            "RepetitionPenalty" => new() { RepetitionPenalty = 0 },
            _ => new() { MaxNewTokens = 0 },
        };
        Assert.StartsWith(name, Assert.Throws<ArgumentException>(options.Validate).Message, StringComparison.Ordinal);
    }
}
