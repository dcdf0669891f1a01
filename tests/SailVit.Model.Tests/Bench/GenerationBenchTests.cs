using SailVit.Bench.Models;
using SailVit.Model.Tests.Language;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Model.Tests.Bench;

public sealed class GenerationBenchTests
{
    [Fact]
    public void BothSides_GiveTheSameScores()
    {
        using var scope = NewDisposeScope();
        var config = TextGeneratorTests.Small with { MaxPositions = 400 };
        foreach (var c in GenerationBench.Cases("small", config, ScalarType.Float32))
        {
            using var pair = c.Create();
            for (int call = 0; call < 2; call++)
            {
                var (ours, stock) = (pair.Ours()[0], pair.Stock()[0]);
                Assert.True(((ours - stock).norm() / stock.norm()).item<float>() < 1e-5, c.Shape);
            }
        }
    }
}
