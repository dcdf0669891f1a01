using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace SailVit.Model.Distributed;

/// <summary>Where the elements of a tensor lie that is sent as it is.</summary>
internal static class ReplicaTensor
{
    /// <exception cref="ArgumentException">Not contiguous on the CPU, or of another dtype.</exception>
    public static unsafe void* Data(Tensor tensor, ScalarType? dtype)
    {
        if (!tensor.is_contiguous() || tensor.device_type != TorchSharp.DeviceType.CPU || (dtype is { } wanted && tensor.dtype != wanted))
        {
            throw new ArgumentException($"A tensor [{string.Join(", ", tensor.shape)}] {tensor.dtype} on {tensor.device} cannot be exchanged; it must be contiguous on the CPU{(dtype is { } type ? $" and {type}" : "")}.");
        }
        if (tensor.numel() == 0)
        {
            return null;
        }
        // A span ends at 2 GB: that of the first element says where it begins.
        using var flat = tensor.detach().view(-1);
        using var first = flat.narrow(0, 0, 1);
        return System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.bytes));
    }
}
