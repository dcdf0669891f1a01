namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>Host memory that a kernel reads or writes: one <c>ArrayView</c> of its parameters.</summary>
/// <param name="Data">First element; null for an operand that is absent.</param>
/// <param name="Length">Elements.</param>
/// <param name="ElementSize">Bytes per element.</param>
/// <param name="IsWritten">Whether the kernel writes it.</param>
internal readonly unsafe record struct HostArray(nint Data, long Length, int ElementSize, bool IsWritten)
{
    public nint End => Data + (nint)(Length * ElementSize);

    public static HostArray Read(void* data, long length, int elementSize) => new((nint)data, data == null ? 0 : length, elementSize, false);

    public static HostArray Write(void* data, long length, int elementSize) => new((nint)data, data == null ? 0 : length, elementSize, true);

    /// <summary>Rows a stride apart.</summary>
    public static HostArray Rows(void* data, long count, long width, long stride, int elementSize) =>
        Read(data, count == 0 ? 0 : ((count - 1) * stride) + width, elementSize);
}
