using System.Runtime.CompilerServices;
using Parquet;
using Parquet.Meta;
using Parquet.Serialization;

namespace SailVit.Model.Data;

/// <summary>Reads Parquet files that may be damaged: the reader throws, and always ends.</summary>
/// <remarks>
/// Parquet.Net takes the end of what it parses for a byte 255, which in its format always announces another byte: a footer
/// without its last zero is read for ever. So each footer is parsed by its own parser first, from a stream whose end is an error;
/// and before that its lists are counted.
/// </remarks>
internal static class ParquetFile
{
    private const int Least = 12; // PAR1, the length of the footer, PAR1
    private const string Protocol = "Parquet.Meta.Proto.ThriftCompactProtocolReader, Parquet";

    /// <summary>Opens a file and reads its footer.</summary>
    /// <exception cref="Exception">Of any kind: the file is damaged.</exception>
    public static async Task<ParquetReader> OpenAsync(string path)
    {
        var file = new EndingFile(path);
        try
        {
            return await ParquetReader.CreateAsync(Checked(file), leaveStreamOpen: false).ConfigureAwait(false);
        }
        catch
        {
            await file.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Rows of each group, where the footer agrees with itself about them.</summary>
    /// <exception cref="InvalidDataException">It does not.</exception>
    public static List<long> GroupSizes(FileMetaData footer)
    {
        var sizes = footer.RowGroups.Select(group => group.NumRows).ToList();
        // A list in a row has at least one value, if only to say that it is empty.
        bool agrees = footer.RowGroups.All(group => group.NumRows >= 0 && group.Columns.All(column => column.MetaData?.NumValues >= group.NumRows));
        return agrees && sizes.Sum() == footer.NumRows ? sizes
            : throw new InvalidDataException($"its footer speaks of {footer.NumRows} rows, which its row groups or columns do not have");
    }

    /// <summary>Reads the rows of a group.</summary>
    /// <exception cref="Exception">Of any kind: the file is damaged.</exception>
    public static async Task<IReadOnlyList<Dictionary<string, object>>> ReadGroupAsync(string path, int group)
    {
        await using var file = new EndingFile(path);
        var result = await ParquetSerializer.DeserializeUntypedAsync(Checked(file), null, group).ConfigureAwait(false);
        return [.. result.Data];
    }

    /// <summary>Runs what reads a file on the thread pool; what is wrong with the file, in one line, if it cannot be read.</summary>
    public static (T? Result, string? Error) Guarded<T>(Func<Task<T>> read) where T : class
    {
        try
        {
            return (Task.Run(read).GetAwaiter().GetResult(), null);
        }
#pragma warning disable CA1031 // Index, key, null, overflow and memory errors (a count in a page) alike mean one thing: the file is damaged.
        catch (Exception e)
#pragma warning restore CA1031
        {
            return (null, e.Message.ReplaceLineEndings(" "));
        }
    }

    private static EndingFile Checked(EndingFile file)
    {
        Span<byte> length = stackalloc byte[sizeof(int)];
        if (file.Length < Least)
        {
            throw new InvalidDataException($"it has {file.Length} bytes");
        }
        file.End = file.Length - 8; // the footer's length and PAR1 follow
        file.Seek(file.End, SeekOrigin.Begin);
        file.ReadExactly(length);
        long footer = file.End - BitConverter.ToInt32(length);
        if (footer < 0 || footer > file.End)
        {
            throw new InvalidDataException("its footer does not lie in it");
        }
        file.Seek(footer, SeekOrigin.Begin);
        new ThriftBounds(file, file.End).Check();
        file.Seek(footer, SeekOrigin.Begin);
        Parse(null, NewProtocol(file));
        file.End = file.Length;
        return file;
    }

    [UnsafeAccessor(UnsafeAccessorKind.StaticMethod, Name = "Read")]
    private static extern FileMetaData Parse(FileMetaData? owner, [UnsafeAccessorType(Protocol)] object protocol);

    [UnsafeAccessor(UnsafeAccessorKind.Constructor)]
    [return: UnsafeAccessorType(Protocol)]
    private static extern object NewProtocol(Stream input);

    // Lists in lists call the parser again: their depth is what the stack allows.
    private sealed class EndingFile(string path) : FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)
    {
        public long End { get; set; }

        public override int ReadByte()
        {
            RuntimeHelpers.EnsureSufficientExecutionStack();
            return Position < End ? base.ReadByte() : throw new EndOfStreamException("it ends too soon");
        }
    }
}
