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
        DirectoryNotFoundException => $"there is no folder {Path.GetDirectoryName(Path.GetFullPath(path))}.",
        UnauthorizedAccessException when Directory.Exists(path) => "it is a folder.",
        UnauthorizedAccessException => "permission denied.",
        _ => e.Message,
    };
}
