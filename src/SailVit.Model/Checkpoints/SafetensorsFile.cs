using System.IO.MemoryMappedFiles;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>A safetensors file, memory-mapped: opening reads the header only, reading a tensor touches only its bytes.</summary>
/// <remarks>Tensors are copies in libtorch's memory. Views of the map would dangle when the file is disposed before them.
/// Safe for concurrent reads; the file must not be truncated by others while it is open.</remarks>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _data;
    private bool _disposed;

    private SafetensorsFile(string path, FileStream stream)
    {
        Path = path;
        _map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        try
        {
            _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _data);
        }
        catch
        {
            _view?.Dispose();
            _map.Dispose();
            throw;
        }
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Tensors by name, in the order of the header.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors { get; private set; } = new Dictionary<string, TensorEntry>();

    /// <summary>The strings under <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; private set; } = new Dictionary<string, string>();

    /// <summary>Maps a file and validates its header.</summary>
    /// <exception cref="CheckpointException">The file cannot be read, or is not a valid safetensors file.</exception>
    public static SafetensorsFile Open(string path)
    {
        try
        {
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            try
            {
                return Open(path, stream);
            }
            catch
            {
                stream.Dispose();
                throw;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw Files.CannotRead(path, e);
        }
    }

    /// <summary>Copies a tensor out of the file.</summary>
    /// <exception cref="CheckpointException">There is no such tensor, or TorchSharp has no such dtype.</exception>
    public Tensor Read(string name)
    {
        var entry = Find(name);
        return Copy(entry, entry.Shape, entry.Offset);
    }

    /// <summary>Copies some rows of a tensor, counted along its first dimension.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The tensor does not have these rows.</exception>
    /// <inheritdoc cref="Read"/>
    public Tensor ReadRows(string name, long first, long count)
    {
        var entry = Find(name);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, (entry.Shape.Length == 0 ? 0 : entry.Shape[0]) - count);
        return count == 0
            ? Copy(entry, [0, .. entry.Shape.AsSpan(1)], entry.Offset)
            : Copy(entry, [count, .. entry.Shape.AsSpan(1)], entry.Offset + (first * (entry.Length / entry.Shape[0])));
    }

    /// <summary>Unmaps the file. Tensors that were read stay valid.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
            _map.Dispose();
        }
    }

    private TensorEntry Find(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return Tensors.TryGetValue(name, out var entry) ? entry : throw new CheckpointException($"{Path}: has no tensor '{TensorEntry.Show(name)}'.");
    }

    private Tensor Copy(TensorEntry entry, long[] shape, long position)
    {
        var type = SafetensorsDType.TorchType(entry.DType)
            ?? throw new CheckpointException($"{Path}: tensor '{entry.Shown}' has dtype {entry.DType}, which TorchSharp does not have.");
        using var noGrad = torch.no_grad();
        var tensor = torch.empty(shape, type);
        TensorBytes.Visit(tensor, (offset, bytes) => new ReadOnlySpan<byte>(_data + position + offset, bytes.Length).CopyTo(bytes));
        return tensor;
    }

    private static SafetensorsFile Open(string path, FileStream stream)
    {
        long length = stream.Length;
        if (length < SafetensorsHeader.PrefixBytes)
        {
            throw new CheckpointException($"{path}: has {length} bytes; a safetensors file begins with an 8-byte header length.");
        }
        var file = new SafetensorsFile(path, stream);
        try
        {
            int headerLength = SafetensorsHeader.Length(new ReadOnlySpan<byte>(file._data, SafetensorsHeader.PrefixBytes), length, path);
            byte[] json = new ReadOnlySpan<byte>(file._data + SafetensorsHeader.PrefixBytes, headerLength).ToArray();
            (file.Tensors, file.Metadata) = SafetensorsHeader.Parse(json, SafetensorsHeader.PrefixBytes + headerLength, length, path);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }
}
