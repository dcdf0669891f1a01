using System.Text.RegularExpressions;
using Xunit;

namespace SailVit.Kernels.Tests.Repository;

/// <summary>Rules for every file, so that no reviewer has to look.</summary>
public sealed partial class SourceTests
{
    private const int MostLines = 300;

    /// <summary>Files that are longer, each with its reason.</summary>
    private static readonly Dictionary<string, string> Longer = [];

    private static readonly string[] SourceFolders = ["src", "tests", "bench"];

    private static IEnumerable<string> Sources => SourceFolders.SelectMany(folder => RepositoryFiles.Below(folder, "*.cs"));

    private static IEnumerable<string> Texts => RepositoryFiles.Below("")
        .Where(f => Path.GetExtension(f) is ".cs" or ".md" or ".csproj" or ".props" or ".targets" or ".json" or ".cake" or ".editorconfig" || f == ".ci/run");

    [Fact]
    public void Files_AreShort()
    {
        var lengths = Sources.ToDictionary(f => f, f => RepositoryFiles.Read(f).Count(c => c == '\n'));
        Assert.Empty(lengths.Where(f => f.Value > MostLines && !Longer.ContainsKey(f.Key)).Select(f => $"{f.Key}: {f.Value} lines"));
        Assert.Empty(Longer.Keys.Where(f => !lengths.TryGetValue(f, out int lines) || lines <= MostLines).Select(f => $"{f} needs no exception"));
    }

    [Fact]
    public void NoFile_NamesAFolderOfSomebodysMachine() => Assert.Empty(Lines(Texts, MachinePath()));

    [Fact]
    public void NoSource_HasRegionsOrOpenNotes() => Assert.Empty(Lines(Sources, Unfinished()));

    [Fact]
    public void NoOutputFolder_HoldsLibTorch()
    {
        // 460 MB each: a build leaves it in the package cache.
        var copies = Directory.EnumerateFiles(Path.Combine(RepositoryFiles.Root, "artifacts", "bin"), "*torch_cpu*", SearchOption.AllDirectories);
        Assert.Empty(copies);
    }

    private static IEnumerable<string> Lines(IEnumerable<string> files, Regex pattern) => files
        // The patterns themselves.
        .Where(f => !f.EndsWith("/SourceTests.cs", StringComparison.Ordinal))
        .SelectMany(f => RepositoryFiles.Read(f).Split('\n').Select((line, i) => (Place: $"{f}:{i + 1}: {line.Trim()}", line)))
        .Where(l => pattern.IsMatch(l.line))
        .Select(l => l.Place);

    [GeneratedRegex(@"/work/|/root/|/home/\w|/tmp/\w|/Users/\w|[A-Z]:\\\\?Users")]
    private static partial Regex MachinePath();

    [GeneratedRegex(@"^\s*#region|\bTODO\b|\bFIXME\b|\bHACK\b|NotImplementedException")]
    private static partial Regex Unfinished();
}
