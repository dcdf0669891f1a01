using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace SailVit.Kernels.Dispatch;

/// <summary>Keeps on the OpenCL device what the library's ops compute there, for ops called from this thread until it is disposed.</summary>
/// <remarks>
/// Without it each op uploads what it reads and brings back what it wrote; within it a block of a transformer crosses nothing. The
/// memory of a result that is newer on the device is old on the host: before anything but an op of this library reads it, call
/// <see cref="Download"/>, or dispose of the scope, which brings all results back. On a device that works in the host's memory
/// there is nothing to keep, and the scope does nothing.
/// </remarks>
public sealed class DeviceScope : IDisposable
{
    [ThreadStatic]
    private static bool _separate;

    private readonly DeviceMemory? _memory;

    /// <summary>Opens it on this thread; scopes end in reverse order.</summary>
    /// <param name="constants">Contiguous tensors in the host's memory that many ops read, such as a model's parameters: uploaded when an op first
    /// takes them, and again only if they were changed since. Null for none.</param>
    /// <exception cref="ArgumentException">A constant is not contiguous, or not in the host's memory.</exception>
    public DeviceScope(IEnumerable<Tensor>? constants = null)
    {
        if (!Dispatcher.UsesOpenCl || (OpenClDevices.Current.SharesMemory && !_separate))
        {
            return;
        }
        _memory = new(OpenClQueue.Of(OpenClDevices.Current));
        try
        {
            using var noGrad = no_grad();
            foreach (var constant in constants ?? [])
            {
                _memory.Keep(constant.is_contiguous() && constant.device_type == DeviceType.CPU ? constant
                    : throw new ArgumentException($"A constant is {new TensorView(constant)}{(constant.is_contiguous() ? "" : " and not contiguous")}; it must be contiguous and in the host's memory.", nameof(constants)));
            }
        }
        catch
        {
            _memory.Dispose();
            throw;
        }
    }

    /// <summary>Bytes sent to the device so far.</summary>
    public long UploadedBytes => _memory?.Uploaded ?? 0;

    /// <summary>Bytes brought back so far.</summary>
    public long DownloadedBytes => _memory?.Downloaded ?? 0;

    /// <summary>Brings tensors to the host where they are newer on the device.</summary>
    public void Download(params ReadOnlySpan<Tensor> tensors)
    {
        foreach (var tensor in tensors)
        {
            _memory?.Download(tensor);
        }
    }

    /// <summary>A moment in this thread's scope, for <see cref="Trim"/>.</summary>
    public static long Mark => DeviceMemory.Current?.Mark ?? 0;

    /// <summary>Forgets what ops computed in this thread's scope since a moment, but for some tensors: what the others held is lost.</summary>
    /// <remarks>Results keep their memory until the scope ends; <c>Block</c> calls this when it is done.</remarks>
    /// <param name="since">A <see cref="Mark"/>.</param>
    /// <param name="kept">Results, or views of them, that are still needed.</param>
    /// <exception cref="InvalidOperationException">Gradients are recorded: they would need what is forgotten.</exception>
    public static void Trim(long since, params ReadOnlySpan<Tensor> kept)
    {
        if (DeviceMemory.Current is { } memory)
        {
            if (is_grad_enabled())
            {
                throw new InvalidOperationException("Trim forgets what gradients need; call it in no_grad or inference_mode.");
            }
            memory.Trim(since, kept);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _memory?.Dispose();

    /// <summary>Treats any device as one with memory of its own until the result is disposed: for tests where there is none.</summary>
    internal static IDisposable ForceSeparateMemory()
    {
        var scope = new Scope(_separate);
        _separate = true;
        return scope;
    }

    private sealed class Scope(bool previous) : IDisposable
    {
        public void Dispose() => _separate = previous;
    }
}
