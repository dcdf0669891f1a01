using SailVit.Kernels.Accelerated;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels;

/// <summary>Groups of libtorch operators that <see cref="Accelerator"/> can take over.</summary>
[Flags]
public enum AcceleratedOps
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>mm and bmm: linear layers on [B, N, C], matmul, attention written out, and all their gradients.</summary>
    MatrixProducts = 1,

    /// <summary>native_layer_norm and its gradient.</summary>
    LayerNorm = 2,

    /// <summary>What scaled_dot_product_attention runs on the CPU, and its gradient.</summary>
    Attention = 4,

    /// <summary>gelu, silu and their gradients.</summary>
    Activations = 8,

    /// <summary>All of them.</summary>
    All = MatrixProducts | LayerNorm | Attention | Activations,
}

/// <summary>Runs existing models on this library's kernels: registers them in libtorch's own dispatcher, below its autograd.</summary>
/// <remarks>
/// Modules, functions, TorchScript and libtorch's built-in gradients, second ones included, go on as before; the operators in
/// <see cref="AcceleratedOps"/> are computed here where a kernel serves the call, and by libtorch otherwise (another dtype or
/// device, few elements, an unusual layout, a thread that is told to use OpenCL). The bounds are rules, near which libtorch can be the faster one. An EventListener on <c>SailVit</c> sees which.
/// It holds for the whole process, all threads. Each installation holds until it is disposed; an operator stays taken over
/// as long as one that asked for it lives, in whatever order they end. Other threads may compute meanwhile: after the last
/// one the kernels stay registered and hand every call on.
/// Under inference_mode only calls that involve a parameter are taken over; no_grad has no such limit.
/// </remarks>
public sealed class Accelerator : IDisposable
{
    private readonly AcceleratedOps _ops;
    private int _disposed;

    private Accelerator(AcceleratedOps ops) => _ops = ops;

    /// <summary>The operators that are taken over now.</summary>
    public static AcceleratedOps Installed => OperatorTable.Installed;

    /// <summary>Takes operators over until the result is disposed.</summary>
    /// <param name="ops">Which.</param>
    /// <returns>Its disposal gives the operators back to libtorch.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such group.</exception>
    /// <exception cref="LibTorchException">libtorch is missing, or is one that does not offer what this needs.</exception>
    public static Accelerator Install(AcceleratedOps ops = AcceleratedOps.All)
    {
        if ((ops & ~AcceleratedOps.All) != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(ops), ops, $"There are {AcceleratedOps.All}.");
        }
        LibTorch.EnsureLoaded();
        OperatorTable.Add(ops);
        return new(ops);
    }

    /// <summary>Gives the operators back to libtorch, unless another installation still wants these operators.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            OperatorTable.Remove(_ops);
        }
    }
}
