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

    [ThreadStatic]
    private static BackendKind? _forced;

    /// <summary>The backends of this build that this machine can run.</summary>
    public static IReadOnlyList<BackendKind> Available { get; } = [BackendKind.Cpu];

    /// <summary>What ops called from this thread are told to use.</summary>
    public static BackendKind Choice => _forced ?? FromEnvironment.Value;

    /// <summary>Uses one backend for the ops called from this thread until the result is disposed.</summary>
    /// <exception cref="PlatformNotSupportedException">This build or machine lacks it.</exception>
    public static IDisposable Use(BackendKind backend)
    {
        var scope = new Scope(_forced);
        _forced = Require(backend, nameof(backend));
        return scope;
    }

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
    internal static BackendKind For(in TensorView view, string name)
    {
        var choice = Choice;
        if (view.DeviceType == 0 && choice is BackendKind.Auto or BackendKind.Cpu)
        {
            return BackendKind.Cpu;
        }
        throw new ArgumentException($"{name} is {view}; the backends of this build are {string.Join(", ", Available)}. Move it with .cpu().", name);
    }

    private static BackendKind Require(BackendKind backend, string name) => backend == BackendKind.Auto || Available.Contains(backend)
        ? backend
        : throw new PlatformNotSupportedException($"The backend {name} was asked for, but this build and machine offer {string.Join(", ", Available)}.");

    private sealed class Scope(BackendKind? previous) : IDisposable
    {
        public void Dispose() => _forced = previous;
    }
}
