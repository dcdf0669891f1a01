using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Accelerated;

/// <summary>Which kernels are in use, and on whose behalf.</summary>
/// <remarks>
/// A kernel that was registered once stays so for the life of the process and, when nobody wants it, hands its calls on:
/// libtorch does not guard its table against calls on other threads, and one that had already chosen the key of a kernel
/// taken out meanwhile would end in an error. To add one is safe: libtorch writes the kernel before the bit that leads to it.
/// </remarks>
internal static unsafe class OperatorTable
{
    private static readonly Lock Guard = new();
    private static readonly Group[] Groups =
    [
        new(AcceleratedOps.MatrixProducts, OperatorEntry.AddMatrixProducts),
        new(AcceleratedOps.LayerNorm, OperatorEntry.AddLayerNorm),
        new(AcceleratedOps.Attention, OperatorEntry.AddAttention),
        new(AcceleratedOps.Activations, OperatorEntry.AddActivations),
    ];

    // Read by every call.
    private static volatile AcceleratedOps _installed;

    public static AcceleratedOps Installed => _installed;

    public static void Add(AcceleratedOps ops)
    {
        if (!BelowAutograd.IsSupported)
        {
            throw new LibTorchException($"libtorch {LibTorch.Version} does not export what calls below autograd need; use SailVit.Kernels.functional.");
        }
        lock (Guard)
        {
            var groups = Of(ops);
            Array.ForEach(groups, g => g.Register());
            Array.ForEach(groups, g => g.Users++);
            _installed |= ops;
        }
    }

    public static void Remove(AcceleratedOps ops)
    {
        lock (Guard)
        {
            Array.ForEach(Of(ops), g => g.Users--);
            _installed = Groups.Where(g => g.Users > 0).Aggregate(AcceleratedOps.None, (all, g) => all | g.Ops);
        }
    }

    private static Group[] Of(AcceleratedOps ops) => [.. Groups.Where(g => ops.HasFlag(g.Ops))];

    /// <summary>Kernels that come together.</summary>
    private sealed class Group(AcceleratedOps ops, Action<OperatorLibrary, OperatorLibrary> register)
    {
        private OperatorLibrary[]? _libraries;

        public AcceleratedOps Ops => ops;

        public int Users { get; set; }

        public void Register()
        {
            if (_libraries is not null)
            {
                return;
            }
            // The key under autograd: what libtorch calls from here, with that key excluded, is its own kernel. The other
            // one is for operators that libtorch's autograd dispatches past that key.
            OperatorLibrary[] libraries = [new("ADInplaceOrView\0"u8), new("BackendSelect\0"u8)];
            try
            {
                register(libraries[0], libraries[1]);
                _libraries = libraries;
            }
            finally
            {
                if (_libraries is null)
                {
                    Array.ForEach(libraries, l => l.Dispose());
                }
            }
        }
    }
}
