using static TorchSharp.torch;

namespace SailVit.Model.Tests;

/// <summary>Photographs and golden data of the repository, and folders that vanish after a test.</summary>
internal static class TestData
{
    public static readonly string Root = Find();

    public static string Golden(params string[] parts) => Path.Combine([Root, "golden", .. parts]);

    public static string Image(string name) => Path.Combine(Root, "images", name);

    /// <summary>Whether two tensors have the same shape, dtype and bits.</summary>
    public static bool Same(Tensor a, Tensor b) =>
        a.dtype == b.dtype && a.shape.AsSpan().SequenceEqual(b.shape) && a.contiguous().bytes.SequenceEqual(b.contiguous().bytes);

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string data = Path.Combine(folder.FullName, "tests", "data");
            if (File.Exists(Path.Combine(folder.FullName, "SailVit.sln")) && Directory.Exists(data))
            {
                return data;
            }
        }
        throw new DirectoryNotFoundException($"tests/data was not found above {AppContext.BaseDirectory}.");
    }
}

internal sealed class TempFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("sailvit-test-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public string Write(string name, byte[] content)
    {
        System.IO.File.WriteAllBytes(File(name), content);
        return File(name);
    }

    public string Write(string name, string content)
    {
        System.IO.File.WriteAllText(File(name), content);
        return File(name);
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
