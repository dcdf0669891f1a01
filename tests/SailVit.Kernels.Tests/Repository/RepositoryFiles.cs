namespace SailVit.Kernels.Tests.Repository;

/// <summary>The checkout that these tests were built from.</summary>
internal static class RepositoryFiles
{
    private static readonly string[] NotSources = ["artifacts", "bin", "obj", ".git", ".vs", "TestResults"];

    public static string Root { get; } = FindRoot();

    /// <summary>Paths below a folder, relative to the root, with forward slashes.</summary>
    public static IEnumerable<string> Below(string folder, string pattern = "*") =>
        Directory.EnumerateFiles(Path.Combine(Root, folder), pattern, SearchOption.AllDirectories)
            .Select(f => Path.GetRelativePath(Root, f).Replace('\\', '/'))
            .Where(f => !f.Split('/').Any(NotSources.Contains));

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path)).ReplaceLineEndings("\n");

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "SailVit.sln")))
            {
                return folder.FullName;
            }
        }
        throw new DirectoryNotFoundException($"No SailVit.sln above {AppContext.BaseDirectory}: these tests read the sources beside them.");
    }
}
