using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Accelerated;

/// <summary>Which kernels are registered, and on whose behalf.</summary>
internal static unsafe class OperatorTable
{
    private static readonly Lock Guard = new();
    private static readonly Dictionary<AcceleratedOps, Group> Groups = new()
    {
        [AcceleratedOps.MatrixProducts] = new(OperatorEntry.AddMatrixProducts),
        [AcceleratedOps.LayerNorm] = new(OperatorEntry.AddLayerNorm),
        [AcceleratedOps.Attention] = new(OperatorEntry.AddAttention),
        [AcceleratedOps.Activations] = new(OperatorEntry.AddActivations),
    };

    public static AcceleratedOps Installed
    {
        get
        {
            lock (Guard)
            {
                return Groups.Where(g => g.Value.Users > 0).Aggregate(AcceleratedOps.None, (all, g) => all | g.Key);
            }
        }
    }

    public static void Add(AcceleratedOps ops)
    {
        if (!BelowAutograd.IsSupported)
        {
            throw new LibTorchException($"libtorch {LibTorch.Version} does not export what calls below autograd need; use SailVit.Kernels.functional.");
        }
        lock (Guard)
        {
            foreach (var group in Of(ops))
            {
                group.Add();
            }
        }
    }

    public static void Remove(AcceleratedOps ops)
    {
        lock (Guard)
        {
            foreach (var group in Of(ops))
            {
                group.Remove();
            }
        }
    }

    private static IEnumerable<Group> Of(AcceleratedOps ops) => Groups.Where(g => ops.HasFlag(g.Key)).Select(g => g.Value);

    /// <summary>Kernels that come and go together.</summary>
    private sealed class Group(Action<OperatorLibrary, OperatorLibrary> register)
    {
        private OperatorLibrary[] _libraries = [];

        public int Users { get; private set; }

        public void Add()
        {
            if (Users++ > 0)
            {
                return;
            }
            try
            {
                // The key under autograd: what libtorch calls from here, with that key excluded, is its own kernel. The other
                // one is for operators that libtorch's autograd dispatches past that key.
                _libraries = [new("ADInplaceOrView\0"u8), new("BackendSelect\0"u8)];
                register(_libraries[0], _libraries[1]);
            }
            catch
            {
                Remove();
                throw;
            }
        }

        public void Remove()
        {
            if (--Users == 0)
            {
                Array.ForEach(_libraries, l => l.Dispose());
                _libraries = [];
            }
        }
    }
}
