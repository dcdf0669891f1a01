using SailVit.Testing;
using Xunit;

namespace SailVit.Kernels.Tests.Repository;

/// <summary>An op is a folder, a test and a benchmark of one name.</summary>
public sealed class OpFolderTests
{
    /// <summary>Ops whose test has another name.</summary>
    private static readonly Dictionary<string, string> TestedBy = new()
    {
        ["LayerNorm"] = "Norm", // the same code, so the same test
        ["RmsNorm"] = "Norm",
        ["AdamW"] = "FusedAdamW", // through the optimizer
    };

    /// <summary>Folders without a benchmark of their own.</summary>
    private static readonly Dictionary<string, string> NotMeasured = new()
    {
        ["Norm"] = "the code of LayerNorm and RmsNorm",
        ["Checkpoint"] = "runs the function that it is given",
    };

    private static IEnumerable<string> Ops => RepositoryFiles.Below("src/SailVit.Kernels/Ops", "*.cs").Select(f => f.Split('/')[3]).Distinct();

    [Fact]
    public void EveryOp_HasItsTest()
    {
        var tests = RepositoryFiles.Below("tests", "*Tests.cs").Select(Path.GetFileName).ToHashSet();
        Assert.All(Ops, op => Assert.Contains($"{TestedBy.GetValueOrDefault(op, op)}Tests.cs", tests));
    }

    [Fact]
    public void EveryOp_HasItsBenchmark()
    {
        var benches = RepositoryFiles.Below("bench", "*Bench.cs").Select(Path.GetFileName).ToHashSet();
        Assert.All(Ops.Except(NotMeasured.Keys), op => Assert.Contains($"{op}Bench.cs", benches));
    }

    [Fact]
    public void FuzzTests_MakeTwoThousandConfigurations()
    {
        Assert.SkipWhen(Environment.GetEnvironmentVariable(RandomConfigs.CountVariable) is not null, "another number was asked for");
        // Each concrete class counts: a test of a base class runs once per op.
        int tests = typeof(OpFolderTests).Assembly.GetTypes().Where(t => t.IsClass && !t.IsAbstract)
            .Sum(t => t.GetMethods().Count(m => m.IsDefined(typeof(FactAttribute), true) && (m.Name.StartsWith("RandomConfigurations", StringComparison.Ordinal) || t.Name.EndsWith("FuzzTests", StringComparison.Ordinal))));
        Assert.InRange(tests * RandomConfigs.Count, 2000, int.MaxValue);
    }

    [Fact]
    public void Exceptions_AreStillNeeded()
    {
        var tests = RepositoryFiles.Below("tests", "*Tests.cs").Select(Path.GetFileName).ToHashSet();
        var benches = RepositoryFiles.Below("bench", "*Bench.cs").Select(Path.GetFileName).ToHashSet();
        Assert.All(TestedBy.Keys, op => Assert.DoesNotContain($"{op}Tests.cs", tests));
        Assert.All(NotMeasured.Keys, op => Assert.DoesNotContain($"{op}Bench.cs", benches));
        Assert.Subset(Ops.ToHashSet(), TestedBy.Keys.Concat(NotMeasured.Keys).ToHashSet());
    }
}
