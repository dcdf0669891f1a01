using System.Security.Cryptography;

namespace SailVit.Kernels.Interop;

/// <summary>A copy of TorchSharp's native library that this system's linker accepts; see <see cref="ElfVersionPatch"/>.</summary>
/// <remarks>The original is never touched. The copy lies beside it, or in the user's cache where the install folder is
/// read-only, under a name that carries the original's hash: another version gets another copy.</remarks>
internal static class PatchedLibrary
{
    /// <param name="library">Path of the original.</param>
    /// <param name="error">Why it does not load, in the linker's words.</param>
    /// <returns>Path of the copy that is now loaded.</returns>
    /// <exception cref="LibTorchException">It cannot be cured, or no folder takes the copy.</exception>
    public static string Load(string library, string error) => Load(library, error, [.. CacheFolders(library)]);

    internal static string Load(string library, string error, IReadOnlyList<string> folders)
    {
        var bytes = File.ReadAllBytes(library);
        var name = $"libLibTorchSharp.{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}.so";
        if (!ElfVersionPatch.WeakenUnresolvable(bytes, error))
        {
            throw new LibTorchException($"{library} needs a newer C++ runtime than this system has: {error}. Install a newer libstdc++6.");
        }
        var failures = new List<string>();
        foreach (var folder in folders)
        {
            var copy = Path.Combine(folder, name);
            if (UserCache.TryWrite(copy, bytes, out var failure) && LibTorchLoader.TryLoad(copy, out failure))
            {
                return copy;
            }
            failures.Add($"{copy}: {failure}");
        }
        return LoadFromTemporary(name, bytes) ?? throw new LibTorchException(
            $"{library} needs a newer C++ runtime than this system has, and no folder takes an adapted copy: {string.Join("; ", failures)}. " +
            "Make one of them writable, or set XDG_CACHE_HOME to a folder that is.");
    }

    /// <summary>Folders that only the installer or this user can write.</summary>
    internal static IEnumerable<string> CacheFolders(string library)
    {
        yield return Path.GetDirectoryName(Path.GetFullPath(library))!;
        if (UserCache.Folder("native") is { } cache)
        {
            yield return cache;
        }
    }

    // A fresh folder that others cannot enter, since a known name in a shared folder could hold another's file. It is removed
    // at once: what is loaded needs no name.
    private static string? LoadFromTemporary(string name, byte[] bytes)
    {
        DirectoryInfo? folder = null;
        try
        {
            folder = Directory.CreateTempSubdirectory("sailvit-");
            var copy = Path.Combine(folder.FullName, name);
            return UserCache.TryWrite(copy, bytes, out _) && LibTorchLoader.TryLoad(copy, out _) ? copy : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
        finally
        {
            folder?.Delete(recursive: true);
        }
    }
}
