using Xunit;

namespace SailVit.Kernels.Tests.Repository;

/// <summary>The doctor's self-test must not forget an op that is added.</summary>
public sealed class DoctorTests
{
    /// <summary>Functions without a kernel of their own, or without a result to compare.</summary>
    private static readonly Dictionary<string, string> NotExamined = new()
    {
        ["checkpoint"] = "runs the function that it is given",
        ["attention_kvcache_"] = "writes a cache in place and has no gradient",
        ["adamw_"] = "a step of an optimizer, in place",
    };

    [Fact]
    public void EveryOp_IsExamined()
    {
        var tests = RepositoryFiles.Read("src/SailVit.Cli/Doctor/OpSelfTest.cs");
        var ops = typeof(functional).GetMethods().Where(m => m.IsStatic).Select(m => m.Name)
            .Where(op => !op.EndsWith("_with_lse", StringComparison.Ordinal)).Distinct().Except(NotExamined.Keys);
        Assert.DoesNotContain(ops, op => !tests.Contains($"new(\"{op}\"", StringComparison.Ordinal));
    }
}
