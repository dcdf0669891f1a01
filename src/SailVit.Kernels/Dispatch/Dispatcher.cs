using SailVit.Kernels.Backends.OpenCl;
using SailVit.Kernels.Interop;

namespace SailVit.Kernels.Dispatch;

/// <summary>Where kernels run.</summary>
public enum BackendKind
{
    /// <summary>The backend of the device that the tensors live on.</summary>
    Auto,

    /// <summary>Managed SIMD.</summary>
    Cpu,

    /// <summary>NVIDIA GPUs.</summary>
    Cuda,

    /// <summary>Any OpenCL device.</summary>
    OpenCl,
}

/// <summary>Chooses the backend of an op. A forced backend that is missing is an error, never a fallback.</summary>
public static class Dispatcher
{
    /// <summary>Forces a backend: auto, cpu, cuda or opencl.</summary>
    public const string BackendVariable = "SAILVIT_BACKEND";

    private static readonly Lazy<BackendKind> FromEnvironment = new(() => Parse(Environment.GetEnvironmentVariable(BackendVariable)));

    // Devices are looked for when one is asked for: drivers take their time to load.
    private static readonly Lazy<IReadOnlyList<BackendKind>> Machine = new(() =>
        OpenClDevices.All.Count > 0 ? [BackendKind.Cpu, BackendKind.OpenCl] : [BackendKind.Cpu]);

    /// <summary>The backends of this build that this machine can run.</summary>
    public static IReadOnlyList<BackendKind> Available => Machine.Value;

    /// <summary>What ops called from this thread are told to use.</summary>
    public static BackendKind Choice => (BackendKind?)ForcedBackend.OfThread ?? FromEnvironment.Value;

    /// <summary>Uses one backend for the ops called from this thread until the result is disposed. Gradients of these ops are
    /// computed there too, whenever they are asked for.</summary>
    /// <exception cref="PlatformNotSupportedException">This build or machine lacks it.</exception>
    public static IDisposable Use(BackendKind backend) => ForcedBackend.Use((int)Require(backend, nameof(backend)));

    /// <summary>Reads a backend's name; null or empty is <see cref="BackendKind.Auto"/>.</summary>
    /// <exception cref="PlatformNotSupportedException">No such name, or this build or machine lacks the backend.</exception>
    public static BackendKind Parse(string? name) => name?.ToLowerInvariant() switch
    {
        null or "" or "auto" => BackendKind.Auto,
        "cpu" => Require(BackendKind.Cpu, name),
        "cuda" => Require(BackendKind.Cuda, name),
        "opencl" => Require(BackendKind.OpenCl, name),
        _ => throw new PlatformNotSupportedException($"{name} is not a backend; use auto, cpu, cuda or opencl."),
    };

    /// <summary>The backend that serves a tensor.</summary>
    /// <exception cref="ArgumentException">None does; the message says which there are.</exception>
    internal static unsafe BackendKind For(in TensorView view, string name)
    {
        // Tensors live in the host's memory for both.
        if (view.DeviceType == 0 && Choice is var choice and not BackendKind.Cuda)
        {
            if (choice == BackendKind.OpenCl)
            {
                return BackendKind.OpenCl;
            }
            return DeviceMemory.Current?.IsNewer((nint)view.Data) != true ? BackendKind.Cpu
                : throw new InvalidOperationException($"{name} is newer on the OpenCL device than in the host's memory; call DeviceScope.Download first.");
        }
        throw new ArgumentException($"{name} is {view}; the backends of this build are {string.Join(", ", Available)}. Move it with .cpu().", name);
    }

    /// <summary>Whether the op that is running goes to an OpenCL device.</summary>
    internal static bool UsesOpenCl => Choice == BackendKind.OpenCl;

    /// <summary>Launches of the running op are waited for together, when the result is disposed; null where there is nothing to wait for.</summary>
    internal static IDisposable? BeginBatch() => UsesOpenCl ? OpenClBatch.Begin(OpenClDevices.Current) : null;

    private static BackendKind Require(BackendKind backend, string name) => backend is BackendKind.Auto or BackendKind.Cpu || Available.Contains(backend)
        ? backend
        : throw new PlatformNotSupportedException($"The backend {name} was asked for, but this build and machine offer {string.Join(", ", Available)}.");
}
