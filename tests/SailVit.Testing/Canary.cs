using System.Runtime.InteropServices;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Testing;

/// <summary>Memory for kernel-level tests: filled with NaN, with guard words before and after.</summary>
/// <remarks>All bits set is a NaN in float32, bfloat16 and float16, and one that no arithmetic makes: an element that still
/// holds it was not written.</remarks>
public sealed unsafe class Canary : IDisposable
{
    private const int GuardBytes = 256;
    private const byte Fill = 0xFF;
    private const byte Guard = 0xA5;

    private readonly byte* _block;
    private readonly long _bytes;
    private readonly int _misalignment;
    private readonly int _elementSize;

    /// <param name="count">Elements.</param>
    /// <param name="dtype">Element type.</param>
    /// <param name="misalignment">Bytes past a 64-byte boundary at which the elements begin.</param>
    public Canary(long count, ScalarType dtype, int misalignment = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(misalignment);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(misalignment, GuardBytes);
        DType = dtype;
        Count = count;
        _elementSize = (int)dtype.ElementSize();
        _misalignment = misalignment;
        _bytes = count * _elementSize;
        _block = (byte*)NativeMemory.AlignedAlloc((nuint)(_bytes + 2 * GuardBytes + misalignment), 64);
        NativeMemory.Fill(_block, (nuint)(_bytes + 2 * GuardBytes + misalignment), Guard);
        NativeMemory.Fill(Pointer, (nuint)_bytes, Fill);
    }

    /// <summary>First element.</summary>
    public byte* Pointer => _block + GuardBytes + _misalignment;

    public long Count { get; }

    public ScalarType DType { get; }

    /// <summary>The elements in a tensor of their own.</summary>
    public Tensor ToTensor(params long[] shape)
    {
        var t = empty(shape, DType);
        Buffer.MemoryCopy(Pointer, new TensorView(t).Data, _bytes, _bytes);
        return t;
    }

    /// <exception cref="ProtocolException">A guard byte changed, or an element was not written.</exception>
    public void Check(string name)
    {
        CheckGuards(name);
        for (long i = 0; i < Count; i++)
        {
            if (new ReadOnlySpan<byte>(Pointer + i * _elementSize, _elementSize).IndexOfAnyExcept(Fill) < 0)
            {
                throw new ProtocolException($"{name}: element {i} of {Count} was not written.");
            }
        }
    }

    /// <exception cref="ProtocolException">A byte before or after the elements changed.</exception>
    public void CheckGuards(string name)
    {
        var before = new ReadOnlySpan<byte>(_block, GuardBytes + _misalignment);
        int low = before.IndexOfAnyExcept(Guard);
        if (low >= 0)
        {
            throw new ProtocolException($"{name}: wrote up to {before.Length - low} bytes before the first element.");
        }
        int high = new ReadOnlySpan<byte>(Pointer + _bytes, GuardBytes).LastIndexOfAnyExcept(Guard);
        if (high >= 0)
        {
            throw new ProtocolException($"{name}: wrote up to {high + 1} bytes after the last element.");
        }
    }

    public void Dispose() => NativeMemory.AlignedFree(_block);
}
