namespace SailVit.Model.Checkpoints;

/// <summary>A file that appears under its name only when it is complete: written beside, flushed, renamed.</summary>
/// <remarks>Disposed without <see cref="Commit"/>, it leaves nothing, and an existing file stays as it was.</remarks>
public sealed class AtomicFile : IDisposable
{
    private readonly string _path;
    private readonly string _beside;
    private readonly FileStream _stream;
    private bool _committed;

    /// <summary>Creates the file beside its final name.</summary>
    /// <param name="path">Final path; an existing file is replaced on <see cref="Commit"/>.</param>
    /// <param name="size">Bytes that will be written, where known: a full disk is then reported now.</param>
    /// <exception cref="CheckpointException">There is no such folder, no permission or no space.</exception>
    public AtomicFile(string path, long size = 0)
    {
        _path = path;
        if (path.Length == 0 || path.Contains('\0', StringComparison.Ordinal) || Directory.Exists(path))
        {
            throw new CheckpointException($"{TensorEntry.Show(path)}: is {(path.Length == 0 ? "an empty path" : "a folder")}; the output must be a file.");
        }
        _beside = $"{Path.GetFullPath(path)}.{Environment.ProcessId:x}-{Guid.NewGuid():N}.tmp";
        try
        {
            _stream = new FileStream(_beside, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                Share = FileShare.None,
                BufferSize = 1 << 16,
                PreallocationSize = size,
            });
        }
        catch (Exception e) when (IsExpected(e))
        {
            TryDelete();
            throw Failed(e);
        }
    }

    /// <summary>Writes bytes at a position.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed.</exception>
    public void Write(long position, ReadOnlySpan<byte> bytes)
    {
        try
        {
            _stream.Position = position;
            _stream.Write(bytes);
        }
        catch (Exception e) when (IsExpected(e))
        {
            throw Failed(e);
        }
    }

    /// <summary>Puts the complete file in its place.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed; nothing is left.</exception>
    public void Commit()
    {
        try
        {
            _stream.Flush(flushToDisk: true);
            _stream.Dispose();
            File.Move(_beside, Path.GetFullPath(_path), overwrite: true);
            _committed = true;
        }
        catch (Exception e) when (IsExpected(e))
        {
            throw Failed(e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_committed)
        {
            return;
        }
        try
        {
            _stream.Dispose();
        }
        catch (Exception e) when (IsExpected(e))
        {
            // Buffered bytes that a full disk refuses; the file goes anyway.
        }
        TryDelete();
    }

    private static bool IsExpected(Exception e) => e is IOException or UnauthorizedAccessException or NotSupportedException;

    private CheckpointException Failed(Exception e) => new($"{_path}: could not be written: {Reason(e)}", e);

    private string Reason(Exception e) => e switch
    {
        // ENOSPC, EDQUOT, ERROR_DISK_FULL; the reservation's own failures have no code.
        IOException when e.HResult is 28 or 122 or unchecked((int)0x80070070) || e.Message.Contains("disk was full", StringComparison.Ordinal) => "the disk is full.",
        IOException when e.Message.Contains("was too large", StringComparison.Ordinal) => "the file is larger than the file system takes.",
        FileNotFoundException => "no file can be created there.",
        _ => Files.Reason(e, _path),
    };

    private void TryDelete()
    {
        try
        {
            File.Delete(_beside);
        }
        catch (Exception e) when (IsExpected(e))
        {
            // The first failure is the one to report.
        }
    }
}
