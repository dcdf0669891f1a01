namespace SailVit.Model.Checkpoints;

/// <summary>A file that appears under its name only when it is complete: written beside, flushed, renamed.</summary>
/// <remarks>Disposed without <see cref="Commit"/>, it leaves nothing, and an existing file stays as it was. A resumable one
/// can be kept instead, for a later process to go on with.</remarks>
public sealed class AtomicFile : IDisposable
{
    private readonly string _path;
    private readonly FileStream _stream;
    private bool _stays;

    /// <summary>Creates the file beside its final name.</summary>
    /// <param name="path">Final path; an existing file is replaced on <see cref="Commit"/>.</param>
    /// <param name="size">Bytes that will be written, where known: a full disk is then reported now.</param>
    /// <param name="resume">Call the incomplete file <see cref="PartialName"/> and go on with the one that is there.</param>
    /// <exception cref="CheckpointException">There is no such folder, no permission or no space.</exception>
    public AtomicFile(string path, long size = 0, bool resume = false)
    {
        _path = path;
        Files.CheckOutput(path);
        Beside = resume ? PartialName(Path.GetFullPath(path)) : $"{Path.GetFullPath(path)}.{Environment.ProcessId:x}-{Guid.NewGuid():N}.tmp";
        bool exists = resume && File.Exists(Beside);
        try
        {
            _stream = new FileStream(Beside, new FileStreamOptions
            {
                Mode = exists ? FileMode.Open : FileMode.CreateNew,
                Access = FileAccess.Write,
                Share = FileShare.None,
                BufferSize = 1 << 16,
                PreallocationSize = exists ? 0 : size,
            });
        }
        catch (Exception e) when (IsExpected(e))
        {
            if (!exists)
            {
                TryDelete();
            }
            throw Failed(e);
        }
    }

    /// <summary>Where the bytes are until they are complete.</summary>
    internal string Beside { get; }

    /// <summary>Name of a resumable file while it is incomplete.</summary>
    public static string PartialName(string path) => path + ".partial";

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

    /// <summary>Writes the whole file through a stream.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed.</exception>
    public void Write(Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        Try(() => write(_stream));
    }

    /// <summary>Lets everything written so far reach the disk.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed.</exception>
    public void Flush() => Try(() => _stream.Flush(flushToDisk: true));

    /// <summary>Leaves the incomplete file where it is, for a later one that resumes it.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed.</exception>
    public void Keep()
    {
        Flush();
        _stays = true;
    }

    /// <summary>Puts the complete file in its place.</summary>
    /// <exception cref="CheckpointException">The disk is full or failed; nothing is left.</exception>
    public void Commit()
    {
        Complete();
        Rename();
    }

    /// <summary>The first half of <see cref="Commit"/>: everything is on the disk, beside.</summary>
    internal void Complete() => Try(() =>
    {
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
    });

    /// <summary>The second half: one rename.</summary>
    internal void Rename() => Try(() =>
    {
        File.Move(Beside, Path.GetFullPath(_path), overwrite: true);
        _stays = true;
    });

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            _stream.Dispose();
        }
        catch (Exception e) when (IsExpected(e))
        {
            // Buffered bytes that a full disk refuses; the file goes anyway.
        }
        if (!_stays)
        {
            TryDelete();
        }
    }

    private void Try(Action action)
    {
        try
        {
            action();
        }
        catch (Exception e) when (IsExpected(e))
        {
            throw Failed(e);
        }
    }

    private static bool IsExpected(Exception e) => e is IOException or UnauthorizedAccessException or NotSupportedException
        // What .NET makes of EFBIG, a file beyond the largest that the file system or the limit of the process allows.
        or ArgumentOutOfRangeException;

    private CheckpointException Failed(Exception e) => new($"{_path}: could not be written: {Reason(e)}", e);

    private string Reason(Exception e) => e switch
    {
        // ENOSPC, EDQUOT, ERROR_DISK_FULL; the reservation's own failures have no code.
        IOException when e.HResult is 28 or 122 or unchecked((int)0x80070070) || e.Message.Contains("disk was full", StringComparison.Ordinal) => "the disk is full.",
        IOException or ArgumentOutOfRangeException when e.Message.Contains("too large", StringComparison.Ordinal) => "the file is larger than the file system takes.",
        FileNotFoundException => "no file can be created there.",
        _ => Files.Reason(e, _path),
    };

    private void TryDelete()
    {
        try
        {
            File.Delete(Beside);
        }
        catch (Exception e) when (IsExpected(e))
        {
            // The first failure is the one to report.
        }
    }
}
