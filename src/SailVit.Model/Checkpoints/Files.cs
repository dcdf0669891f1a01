using System.Text;

namespace SailVit.Model.Checkpoints;

/// <summary>Small files, read and written whole; each failure is one clear exception.</summary>
public static class Files
{
    // A config or an index of more than this is no config or index.
    private const long MaxTextBytes = 256L << 20;

    /// <summary>Writes a small file whole or not at all; an existing one is replaced.</summary>
    /// <param name="path">The file.</param>
    /// <param name="write">Writes the content to a buffer in memory.</param>
    /// <exception cref="CheckpointException">The file could not be written (no such folder, no permission, disk full).</exception>
    public static void WriteAtomically(string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(write);
        using var buffer = new MemoryStream();
        write(buffer);
        using var file = new AtomicFile(path, buffer.Length);
        file.Write(0, buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
        file.Commit();
    }

    /// <summary>Refuses what cannot be an output, before any work is done for it.</summary>
    /// <param name="path">The file that will be written.</param>
    /// <param name="inputs">Files that it must not replace.</param>
    /// <exception cref="CheckpointException">It is a folder, a device, in no folder, or one of the inputs.</exception>
    public static void CheckOutput(string path, params IEnumerable<string> inputs)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(inputs);
        string? problem = path.Length == 0 || path.Contains('\0', StringComparison.Ordinal) ? "is no path; the output must be a file."
            : Directory.Exists(path) ? "is a folder; the output must be a file."
            // A rename would put a file in the place of the device, for all programs.
            : !OperatingSystem.IsWindows() && Path.GetDirectoryName(Path.GetFullPath(path)) == "/dev" ? "is a device; the output must be a file."
            : !Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path))) ? $"could not be written: there is no folder {Path.GetDirectoryName(Path.GetFullPath(path))}."
            : inputs.Any(input => AreSame(input, path)) ? "is an input as well; the output must go elsewhere."
            : null;
        if (problem is not null)
        {
            throw new CheckpointException($"{TensorEntry.Show(path)}: {problem}");
        }
    }

    /// <summary>Whether two paths name one file or folder, also through a symbolic link.</summary>
    public static bool AreSame(string a, string b) => Target(a) == Target(b);

    /// <summary>Makes a folder where it is missing.</summary>
    /// <exception cref="CheckpointException">It cannot be made.</exception>
    public static void CreateFolder(string path)
    {
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new CheckpointException($"{TensorEntry.Show(path)}: {(File.Exists(path) ? "is a file; it must be a folder." : $"the folder could not be made: {e.Message}")}", e);
        }
    }

    private static string Target(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        FileSystemInfo link = Directory.Exists(full) ? new DirectoryInfo(full) : new FileInfo(full);
        return link.Exists && link.ResolveLinkTarget(returnFinalTarget: true) is { } target ? Path.TrimEndingDirectorySeparator(target.FullName) : full;
    }

    internal static string ReadAllText(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MaxTextBytes)
            {
                throw new CheckpointException($"{path}: has {stream.Length:N0} bytes; a JSON file of a checkpoint has at most {MaxTextBytes:N0}.");
            }
            using var reader = new StreamReader(stream, Encoding.UTF8);
            return reader.ReadToEnd();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw CannotRead(path, e);
        }
    }

    internal static CheckpointException CannotRead(string path, Exception e) => new($"{TensorEntry.Show(path)}: could not be read: {Reason(e, path)}", e);

    internal static string Reason(Exception e, string path) => e switch
    {
        FileNotFoundException => "there is no such file.",
        ArgumentException when path.Length == 0 => "the path is empty.",
        DirectoryNotFoundException => $"there is no folder {Path.GetDirectoryName(Path.GetFullPath(path))}.",
        UnauthorizedAccessException when Directory.Exists(path) => "it is a folder.",
        UnauthorizedAccessException => "permission denied.",
        _ => e.Message,
    };
}
