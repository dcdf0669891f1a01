using System.Text.RegularExpressions;
using System.Xml.Linq;
using Xunit;

namespace SailVit.Kernels.Tests.Repository;

/// <summary>Dependencies run one way: Cli → Model → Kernels; inside Kernels: functional, Modules → Ops → Dispatch → Backends → Interop.</summary>
public sealed partial class DependencyTests
{
    /// <summary>Folders of SailVit.Kernels; each may use those before it.</summary>
    private static readonly string[] Layers = ["Interop", "Backends", "Dispatch", "Tensors", "Ops", "Accelerated", "Modules"];

    [Fact]
    public void Kernels_UseLowerLayersOnly()
    {
        var offences = new List<string>();
        foreach (var file in RepositoryFiles.Below("src/SailVit.Kernels", "*.cs"))
        {
            int layer = Array.IndexOf(Layers, file.Split('/')[2]);
            // Files beside the folders are the public face, above all layers.
            foreach (var used in layer < 0 ? [] : NamedLayers(RepositoryFiles.Read(file)))
            {
                if (Array.IndexOf(Layers, used) > layer)
                {
                    offences.Add($"{file} uses {used}");
                }
            }
        }
        Assert.Empty(offences);
    }

    [Fact]
    public void Model_KnowsNoBackend()
    {
        var offences = RepositoryFiles.Below("src/SailVit.Model", "*.cs")
            .SelectMany(file => NamedLayers(RepositoryFiles.Read(file)).Where(l => l is "Backends" or "Dispatch" or "Ops").Select(l => $"{file} uses {l}"));
        Assert.Empty(offences);
    }

    [Theory]
    [InlineData("src/SailVit.Kernels/SailVit.Kernels.csproj")]
    [InlineData("src/SailVit.Model/SailVit.Model.csproj", "SailVit.Kernels")]
    [InlineData("src/SailVit.Cli/SailVit.Cli.csproj", "SailVit.Bench", "SailVit.Model")]
    [InlineData("bench/SailVit.Bench/SailVit.Bench.csproj", "SailVit.Model")]
    [InlineData("bench/SailVit.MicroBench/SailVit.MicroBench.csproj", "SailVit.Kernels")]
    public void Projects_ReferenceOnlyWhatIsBelow(string project, params string[] expected)
    {
        var references = XDocument.Parse(RepositoryFiles.Read(project)).Descendants("ProjectReference")
            .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value)).Order();
        Assert.Equal(expected, references);
    }

    [Fact]
    public void Libraries_LeaveLibTorchToTheApplication()
    {
        foreach (var project in new[] { "src/SailVit.Kernels/SailVit.Kernels.csproj", "src/SailVit.Model/SailVit.Model.csproj", "bench/SailVit.Bench/SailVit.Bench.csproj" })
        {
            Assert.DoesNotContain("libtorch", RepositoryFiles.Read(project), StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>Layers named in using directives or as qualifiers; comments do not count.</summary>
    private static IEnumerable<string> NamedLayers(string source) =>
        Qualifier().Matches(Comment().Replace(source, "")).Select(m => m.Groups[1].Value).Distinct();

    [GeneratedRegex(@"(?<!TorchSharp\.)\b(?:SailVit\.Kernels\.)?(Interop|Backends|Dispatch|Tensors|Ops|Accelerated|Modules)(?=\.[A-Z]|;)(?<!namespace SailVit\.Kernels\.\1)")]
    private static partial Regex Qualifier();

    [GeneratedRegex(@"//.*$", RegexOptions.Multiline)]
    private static partial Regex Comment();
}
