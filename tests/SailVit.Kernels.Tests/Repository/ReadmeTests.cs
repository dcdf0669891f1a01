using System.Text.RegularExpressions;
using Xunit;
using static TorchSharp.torch;

namespace SailVit.Kernels.Tests.Repository;

/// <summary>What the README promises is what the repository holds.</summary>
public sealed partial class ReadmeTests
{
    private const string Folder = "tests/SailVit.Kernels.Tests/Repository";

    private static readonly string Readme = RepositoryFiles.Read("README.md");

    [Fact]
    public void Example_IsTheCompiledOne() =>
        Assert.Equal(RepositoryFiles.Read($"{Folder}/ReadmeExample.cs"), Example().Match(Readme).Groups[1].Value);

    [Fact]
    public void AcceleratorExample_IsPartOfTheCompiledOne()
    {
        var lines = RepositoryFiles.Read($"{Folder}/ReadmeAcceleratorExample.cs").Split('\n').Select(l => l.Trim());
        Assert.Contains(Example().Matches(Readme)[1].Groups[1].Value, string.Join('\n', lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Example_DiffersFromStockInOneLine()
    {
        string[] Lines(string file) => [.. RepositoryFiles.Read($"{Folder}/{file}.cs").Split('\n').Where(l => !l.StartsWith("namespace", StringComparison.Ordinal))];
        var (ours, stock) = (Lines("ReadmeExample"), Lines("ReadmeExampleBefore"));
        Assert.StartsWith("using static SailVit.Kernels.functional;", Assert.Single(ours.Except(stock)), StringComparison.Ordinal);
        Assert.Equal("using static TorchSharp.torch.nn.functional;", Assert.Single(stock.Except(ours)));
    }

    [Fact]
    public void Example_ComputesWhatStockDoes()
    {
        using var scope = NewDisposeScope();
        manual_seed(3);
        Tensor[] inputs = [randn(2, 9, 16), randn(16), randn(16), randn(48, 16) / 4, randn(16, 16) / 4];
        Tensor[] Run(Func<Tensor, Tensor, Tensor, Tensor, Tensor, long, Tensor> layer)
        {
            var x = Array.ConvertAll(inputs, t => t.clone().requires_grad_());
            var y = layer(x[0], x[1], x[2], x[3], x[4], 2);
            y.square().sum().backward();
            return [y.detach(), .. x.Select(t => t.grad!)];
        }
        foreach (var (ours, stock) in Run(MyModel.AttentionLayer.Forward).Zip(Run(MyModel.Before.AttentionLayer.Forward)))
        {
            Assert.True(ours.allclose(stock, 1e-4, 1e-4));
        }
    }

    [Fact]
    public void TestCommand_IsTheOneThatCiRuns()
    {
        var command = CiCommand().Match(RepositoryFiles.Read(".ci/run")).Groups[1].Value;
        Assert.Equal(command, ShellCommands().Matches(Readme)[1].Groups[1].Value);
    }

    [Fact]
    public void MeasuredRows_AreRecordedOnes()
    {
        string[] Rows(string text) => [.. text.Split('\n').Where(l => l.StartsWith('|') && !l.StartsWith("| ---", StringComparison.Ordinal) && !l.StartsWith("| op |", StringComparison.Ordinal))];
        var recorded = RepositoryFiles.Below("bench", "*.md").Where(f => f.StartsWith("bench/results/", StringComparison.Ordinal)).SelectMany(f => Rows(RepositoryFiles.Read(f))).ToHashSet();
        var shown = Rows(Measured().Match(Readme).Groups[1].Value);
        Assert.Subset(recorded, shown.ToHashSet());
        Assert.Equal(recorded.Count > 0, shown.Length > 0);
    }

    [Fact]
    public void Links_LeadToFiles()
    {
        var dead = Link().Matches(Readme).Select(m => m.Groups[1].Value)
            .Where(target => !target.StartsWith("http", StringComparison.Ordinal) && !Path.Exists(Path.Combine(RepositoryFiles.Root, target)));
        Assert.Empty(dead);
    }

    [Fact]
    public void Readme_IsShort() => Assert.InRange(Readme.Count(c => c == '\n'), 0, 250);

    [Fact]
    public void OpTable_NamesEveryOp()
    {
        // `…_with_lse` stands for its family.
        var ops = typeof(functional).GetMethods().Where(m => m.IsStatic).Select(m => m.Name.Replace("_with_lse", "", StringComparison.Ordinal)).Distinct();
        Assert.DoesNotContain(ops, op => !Readme.Contains($"`{op}`", StringComparison.Ordinal));
    }

    [GeneratedRegex("```csharp\\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex("```sh\\n(.*?)\\n```", RegexOptions.Singleline)]
    private static partial Regex ShellCommands();

    [GeneratedRegex("<!-- bench:begin -->\n(.*?)<!-- bench:end -->", RegexOptions.Singleline)]
    private static partial Regex Measured();

    [GeneratedRegex("^test_command='(.*)'$", RegexOptions.Multiline)]
    private static partial Regex CiCommand();

    [GeneratedRegex(@"\]\(([^)#]+)\)")]
    private static partial Regex Link();
}
