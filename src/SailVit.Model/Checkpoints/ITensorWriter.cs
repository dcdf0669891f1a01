using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Model.Checkpoints;

/// <summary>A file of tensors whose shapes are known before their values; filled row by row, and whole or not there at all.</summary>
public interface ITensorWriter : IDisposable
{
    /// <summary>Writes rows of a tensor, counted along its first dimension.</summary>
    /// <param name="name">Which tensor.</param>
    /// <param name="firstRow">Place of the first of these rows.</param>
    /// <param name="rows">The values, on any device, of any strides.</param>
    void WriteRows(string name, long firstRow, Tensor rows);

    /// <summary>Lets everything written so far reach the disk.</summary>
    void Flush();

    /// <summary>Leaves the incomplete file beside, for a writer that resumes it.</summary>
    void Keep();

    /// <summary>Puts the complete file in its place. Without it or <see cref="Keep"/>, disposal leaves nothing.</summary>
    void Commit();
}

/// <summary>The bytes of a tensor in row-major order.</summary>
internal static class TensorBytes
{
    // TorchSharp hands out a tensor's memory as a span, which ends at 2 GB.
    private const long ChunkBytes = 1L << 30;

    /// <summary>What to do with a piece that begins at a byte offset.</summary>
    public delegate void Piece(long offset, Span<byte> bytes);

    /// <summary>Visits the memory of a row-major CPU tensor.</summary>
    public static void Visit(Tensor tensor, Piece visit)
    {
        using var flat = tensor.view(-1);
        long elementSize = tensor.element_size(), perChunk = ChunkBytes / elementSize;
        for (long done = 0; done < flat.numel(); done += perChunk)
        {
            using var chunk = flat.narrow(0, done, Math.Min(perChunk, flat.numel() - done));
            visit(done * elementSize, chunk.bytes);
        }
    }

    /// <summary>Writes a tensor of any device and strides to a file.</summary>
    public static void Write(Tensor tensor, AtomicFile file, long position)
    {
        using var scope = torch.NewDisposeScope();
        using var noGrad = torch.no_grad();
        Visit(tensor.detach().cpu().contiguous(), (offset, bytes) => file.Write(position + offset, bytes));
    }

    /// <summary>Where rows begin; refuses rows that do not belong to the tensor.</summary>
    public static long RowOffset(string name, long[] shape, ScalarType dtype, long firstRow, Tensor rows)
    {
        bool fits = rows.dtype == dtype && shape.Length > 0 && rows.dim() == shape.Length && rows.shape.AsSpan(1).SequenceEqual(shape.AsSpan(1))
            && firstRow >= 0 && rows.shape[0] <= shape[0] - firstRow;
        if (!fits)
        {
            throw new ArgumentException($"rows are {rows.dtype} {TensorEntry.Show(rows.shape)} from row {firstRow}; {name} is {dtype} {TensorEntry.Show(shape)}.", nameof(rows));
        }
        return rows.shape[0] == 0 ? 0 : firstRow * (rows.numel() / rows.shape[0]) * rows.element_size();
    }
}
