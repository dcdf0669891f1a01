using System.Text;

namespace SailVit.Model.Checkpoints;

/// <summary>File access whose failures are one clear exception each, and writing that leaves no half a file.</summary>
public static class Files
{
    // A config or an index of more than this is no config or index.
    private const long MaxTextBytes = 256L << 20;

    /// <summary>Writes a file beside its final name and renames it when it is whole; on any failure nothing is left.</summary>
    /// <param name="path">Final path; an existing file is replaced.</param>
    /// <param name="write">Writes the content to the stream.</param>
    /// <exception cref="CheckpointException">The file could not be written (no such folder, no permission, disk full).</exception>
    public static void WriteAtomically(string path, Action<FileStream> write)
    {
        string full = Path.GetFullPath(path);
        if (Directory.Exists(full))
        {
            throw new CheckpointException($"{path}: is a folder; the output must be a file.");
        }
        string beside = $"{full}.{Environment.ProcessId:x}{Guid.NewGuid():N}.tmp";
        try
        {
            using (var stream = new FileStream(beside, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(beside, full, overwrite: true);
        }
        catch (Exception e)
        {
            TryDelete(beside);
            if (e is IOException or UnauthorizedAccessException or NotSupportedException)
            {
                throw new CheckpointException($"{path}: could not be written: {Reason(e, full)}", e);
            }
            throw;
        }
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

    internal static CheckpointException CannotRead(string path, Exception e) => new($"{path}: could not be read: {Reason(e, path)}", e);

    private static string Reason(Exception e, string path) => e switch
    {
        FileNotFoundException => "there is no such file.",
        DirectoryNotFoundException => $"there is no folder {Path.GetDirectoryName(Path.GetFullPath(path))}.",
        UnauthorizedAccessException when Directory.Exists(path) => "it is a folder.",
        UnauthorizedAccessException => "permission denied.",
        _ => e.Message,
    };

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report.
        }
    }
}
