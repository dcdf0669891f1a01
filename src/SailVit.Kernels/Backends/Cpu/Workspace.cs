using System.Runtime.InteropServices;

namespace SailVit.Kernels.Backends.Cpu;

/// <summary>Scratch memory for the running thread, kept warm between calls: a fresh large allocation page-faults and
/// costs more than the work in it (11 ms against 1.9 ms for 46 MB).</summary>
/// <remarks>Slots nest: a kernel that rents inside another's work gets other memory. Aligned to 64 bytes.
/// Never larger than one kernel's documented workspace; freed with the thread.</remarks>
internal sealed unsafe class Workspace
{
    private const nuint Alignment = 64;

    [ThreadStatic]
    private static Workspace? _current;

    private readonly List<(nint Pointer, nuint Bytes)> _slots = [];
    private int _depth;

    private Workspace() { }

    ~Workspace() => _slots.ForEach(s => NativeMemory.AlignedFree((void*)s.Pointer));

    /// <summary>Rents at least <paramref name="bytes"/> until the lease is disposed; contents are undefined.</summary>
    public static Lease Rent(long bytes) => (_current ??= new()).RentSlot((nuint)Math.Max(bytes, 1));

    private Lease RentSlot(nuint bytes)
    {
        if (_depth == _slots.Count)
        {
            _slots.Add(default);
        }
        var (pointer, size) = _slots[_depth];
        if (size < bytes)
        {
            NativeMemory.AlignedFree((void*)pointer);
            _slots[_depth] = default;
            pointer = (nint)NativeMemory.AlignedAlloc(bytes, Alignment);
            _slots[_depth] = (pointer, bytes);
        }
        _depth++;
        return new(this, (byte*)pointer);
    }

    /// <summary>Rented memory. Leases of one thread end in reverse order.</summary>
    public readonly ref struct Lease(Workspace owner, byte* pointer)
    {
        public byte* Pointer { get; } = pointer;

        public float* Floats => (float*)Pointer;

        public void Dispose() => owner._depth--;
    }
}
