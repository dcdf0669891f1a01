using System.Buffers.Binary;
using System.Text;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>Writes one array in NumPy's format, whole or not at all.</summary>
/// <remarks>The format has no bfloat16; convert to float32 first.</remarks>
public sealed class NpyWriter : ITensorWriter
{
    // Prefix and header together are a multiple of this (NEP 1).
    private const int Alignment = 64;
    private const int PrefixBytes = 10;

    private readonly AtomicFile _file;
    private readonly ScalarType _dtype;
    private readonly long[] _shape;
    private readonly long _dataStart;

    /// <summary>Writes the header and reserves the space.</summary>
    /// <param name="path">The file; an existing one is replaced on <see cref="Commit"/>.</param>
    /// <param name="dtype">Element type.</param>
    /// <param name="shape">Sizes.</param>
    /// <param name="resume">Go on with what an earlier writer of the same array kept.</param>
    /// <exception cref="CheckpointException">The file cannot be written, or NumPy has no such dtype.</exception>
    public NpyWriter(string path, ScalarType dtype, long[] shape, bool resume = false)
    {
        ArgumentNullException.ThrowIfNull(shape);
        _dtype = dtype;
        _shape = shape;
        var (code, size) = dtype switch
        {
            ScalarType.Float32 => ("<f4", 4),
            ScalarType.Float64 => ("<f8", 8),
            ScalarType.Float16 => ("<f2", 2),
            ScalarType.Int64 => ("<i8", 8),
            ScalarType.Byte => ("|u1", 1),
            _ => throw new CheckpointException($"{path}: NumPy's format has no {dtype}; use a .safetensors file, or float32."),
        };
        string text = $"{{'descr': '{code}', 'fortran_order': False, 'shape': ({string.Concat(shape.Select(n => $"{n}, "))}), }}";
        int headerLength = ((PrefixBytes + text.Length + Alignment) / Alignment * Alignment) - PrefixBytes;
        byte[] header = new byte[PrefixBytes + headerLength];
        ((ReadOnlySpan<byte>)[0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y', 1, 0]).CopyTo(header);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(8), checked((ushort)headerLength));
        Encoding.ASCII.GetBytes(text.PadRight(headerLength - 1) + "\n").CopyTo(header, PrefixBytes);
        _dataStart = header.Length;
        _file = new AtomicFile(path, shape.Aggregate((long)size, (product, n) => checked(product * n)) + header.Length, resume);
        _file.Write(0, header);
    }

    /// <inheritdoc/>
    public void WriteRows(string name, long firstRow, Tensor rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        TensorBytes.Write(rows, _file, _dataStart + TensorBytes.RowOffset(name, _shape, _dtype, firstRow, rows));
    }

    /// <inheritdoc/>
    public void Flush() => _file.Flush();

    /// <inheritdoc/>
    public void Keep() => _file.Keep();

    /// <inheritdoc/>
    public void Commit() => _file.Commit();

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
