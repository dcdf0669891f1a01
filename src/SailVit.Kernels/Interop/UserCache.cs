namespace SailVit.Kernels.Interop;

/// <summary>Where files lie that can be made again.</summary>
internal static class UserCache
{
    /// <summary>The user's own folder of this library, or null where there is none. Need not exist.</summary>
    /// <remarks>By the XDG Base Directory Specification; a relative XDG_CACHE_HOME counts as none there.</remarks>
    public static string? Folder(string name) =>
        Folder(name, Environment.GetEnvironmentVariable("XDG_CACHE_HOME"), Environment.GetFolderPath(Environment.SpecialFolder.UserProfile));

    internal static string? Folder(string name, string? cache, string home) =>
        Path.IsPathFullyQualified(cache ?? "") ? Path.Combine(cache!, "sailvit", name)
        : home.Length > 0 ? Path.Combine(home, ".cache", "sailvit", name)
        : null;

    /// <summary>Writes beside, then renames: another process that starts at the same moment sees a whole file or none.</summary>
    public static bool TryWrite(string path, byte[] bytes, out string failure)
    {
        failure = "";
        var temporary = $"{path}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp";
        try
        {
            if (File.Exists(path) && File.ReadAllBytes(path).AsSpan().SequenceEqual(bytes))
            {
                return true;
            }
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            try
            {
                File.WriteAllBytes(temporary, bytes);
                File.Move(temporary, path, overwrite: true);
                return true;
            }
            finally
            {
                File.Delete(temporary);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            failure = e.Message;
            return false;
        }
    }
}
