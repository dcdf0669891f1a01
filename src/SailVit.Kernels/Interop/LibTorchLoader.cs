using System.Runtime.InteropServices;
using TorchSharp;

namespace SailVit.Kernels.Interop;

/// <summary>The search and load order; see <see cref="LibTorch"/>.</summary>
internal static class LibTorchLoader
{
    private static readonly string[] Required = ["c10", "torch_cpu", "torch"];

    internal static string Library(string name) =>
        OperatingSystem.IsWindows() ? $"{name}.dll" : OperatingSystem.IsMacOS() ? $"lib{name}.dylib" : $"lib{name}.so";

    private static string TorchSharpLibrary =>
        OperatingSystem.IsWindows() ? "LibTorchSharp.dll" : Library("LibTorchSharp");

    public static LibTorchInfo Load()
    {
        var forced = Environment.GetEnvironmentVariable(LibTorch.FolderVariable);
        try
        {
            return Load(forced);
        }
        catch (LibTorchException) when (!string.IsNullOrEmpty(forced))
        {
            // Our ops will throw this. TorchSharp's own must not take the process down with another message, after copying
            // 460 MB: it gets the packaged libtorch, as it would find it by itself on a newer system.
            LoadPackaged();
            throw;
        }
    }

    private static void LoadPackaged()
    {
        try
        {
            Load(forced: null);
        }
        catch (LibTorchException)
        {
            // There is none: the first failure says what to do.
        }
    }

    private static LibTorchInfo Load(string? forced)
    {
        var (folder, source) = FindLibTorch(forced, [.. SearchFolders()]);
        foreach (var name in (ReadOnlySpan<string>)["c10", "torch_cpu"])
        {
            LoadRequired(Path.Combine(folder, Library(name)));
        }
        bool hasCuda = LoadIfPresent(folder, "c10_cuda") & LoadIfPresent(folder, "torch_cuda");
        LoadRequired(Path.Combine(folder, Library("torch")));

        var shim = FindTorchSharp();
        if (TryLoad(shim, out var error))
        {
            return new(folder, shim, Patched: false, hasCuda, source);
        }
        // Only the GCC 13 version requirement can be cured; any other failure is reported as it is.
        if (!OperatingSystem.IsLinux() || !error.Contains("GLIBCXX_", StringComparison.Ordinal))
        {
            throw new LibTorchException($"{shim} was found but does not load: {error}");
        }
        return new(folder, PatchedLibrary.Load(shim, error), Patched: true, hasCuda, source);
    }

    /// <param name="forced">Folder named by the user, or null.</param>
    /// <param name="folders">Where to look otherwise.</param>
    internal static (string Folder, string Source) FindLibTorch(string? forced, IReadOnlyList<string> folders)
    {
        if (!string.IsNullOrEmpty(forced))
        {
            var missing = Required.Select(Library).FirstOrDefault(file => !File.Exists(Path.Combine(forced, file)));
            return missing is null
                ? (Path.GetFullPath(forced), LibTorch.FolderVariable)
                : throw new LibTorchException(
                    $"{LibTorch.FolderVariable}={forced} holds no {missing}. " +
                    "Point it at the folder with libtorch's libraries (in a Python PyTorch: site-packages/torch/lib), or unset it.");
        }
        var required = Library("torch_cpu");
        return folders.FirstOrDefault(f => File.Exists(Path.Combine(f, required))) is { } found
            ? (found, "the application's packages")
            : throw new LibTorchException(
                $"{required} was not found in: {string.Join(", ", folders)}. Reference the package libtorch-cpu-{Rid} in the application, " +
                $"or set {LibTorch.FolderVariable} to a folder that holds libtorch.");
    }

    private static string FindTorchSharp() =>
        SearchFolders().Select(f => Path.Combine(f, TorchSharpLibrary)).FirstOrDefault(File.Exists)
        ?? throw new LibTorchException(
            $"{TorchSharpLibrary} was not found in: {string.Join(", ", SearchFolders())}. It comes with the package TorchSharp; restore and rebuild the application.");

    private static string Rid => OperatingSystem.IsWindows() ? "win-x64" : OperatingSystem.IsMacOS() ? "osx-arm64" : "linux-x64";

    /// <summary>Where the host looks for native libraries: package folders in development, the application's own when published.</summary>
    private static IEnumerable<string> SearchFolders()
    {
        var native = (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var besideTorchSharp = Path.GetDirectoryName(typeof(torch).Assembly.Location);
        return native
            .Append(AppContext.BaseDirectory)
            .Append(Path.Combine(AppContext.BaseDirectory, "runtimes", Rid, "native"))
            .Append(besideTorchSharp is { Length: > 0 } ? Path.GetFullPath(Path.Combine(besideTorchSharp, "..", "..", "runtimes", Rid, "native")) : AppContext.BaseDirectory)
            .Select(f => Path.TrimEndingDirectorySeparator(Path.GetFullPath(f)))
            .Distinct();
    }

    private static bool LoadIfPresent(string folder, string name)
    {
        var path = Path.Combine(folder, Library(name));
        if (!File.Exists(path))
        {
            return false;
        }
        LoadRequired(path);
        return true;
    }

    private static void LoadRequired(string path)
    {
        if (!TryLoad(path, out var error))
        {
            throw new LibTorchException($"{path} was found but does not load: {error}");
        }
    }

    internal static bool TryLoad(string path, out string error)
    {
        try
        {
            NativeLibrary.Load(path);
            error = "";
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            error = e.Message;
            return false;
        }
    }
}
