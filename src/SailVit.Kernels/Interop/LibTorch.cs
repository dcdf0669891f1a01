using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Loader;

namespace SailVit.Kernels.Interop;

/// <summary>Finds and loads libtorch and TorchSharp's native library before TorchSharp looks for them.</summary>
/// <remarks>
/// TorchSharp's own search copies 480 MB beside the application and then blames a missing package when the real cause is
/// an older libstdc++ (Debian 12, Ubuntu 22.04). Here the libraries are loaded where they lie, and TorchSharp's later load
/// by name finds them in the process. <c>SAILVIT_LIBTORCH</c> names a folder with another libtorch, for example the
/// <c>lib</c> folder of a Python PyTorch.
/// </remarks>
public static class LibTorch
{
    /// <summary>Names a folder that holds a libtorch to use instead of the packaged one.</summary>
    public const string FolderVariable = "SAILVIT_LIBTORCH";

    private static readonly Lazy<LibTorchInfo> Loaded = new(LibTorchLoader.Load, LazyThreadSafetyMode.ExecutionAndPublication);

    /// <summary>Where the loaded libraries came from. Loads them on first use.</summary>
    /// <exception cref="LibTorchException">No libtorch was found, or it could not be loaded.</exception>
    public static LibTorchInfo Info => Loaded.Value;

    /// <summary>Version of the loaded libtorch, as it says itself.</summary>
    /// <exception cref="LibTorchException">No libtorch was found, or it could not be loaded.</exception>
    public static Version Version
    {
        get
        {
            EnsureLoaded();
            ulong version = Shim.aoti_torch_abi_version();
            return new((byte)(version >> 56), (byte)(version >> 48), (byte)(version >> 40));
        }
    }

    /// <summary>Handle of libtorch_cpu, for exports that the C shim lacks.</summary>
    internal static nint CpuLibrary => NativeLibrary.Load(Path.Combine(Info.Folder, LibTorchLoader.Library("torch_cpu")));

    /// <summary>Handle of libc10.</summary>
    internal static nint CoreLibrary => NativeLibrary.Load(Path.Combine(Info.Folder, LibTorchLoader.Library("c10")));

    /// <summary>Loads libtorch now; later calls do nothing. Safe from several threads.</summary>
    /// <exception cref="LibTorchException">No libtorch was found, or it could not be loaded.</exception>
    public static void EnsureLoaded() => _ = Loaded.Value;

    /// <summary>Loads libtorch now if it can be; a failure is kept and thrown by <see cref="Info"/>.</summary>
    /// <remarks>For module initializers, which must not fail: the package adds one to applications, because TorchSharp's
    /// static constructor may run before any code of this library.</remarks>
    /// <returns>Whether libtorch is loaded.</returns>
    public static bool TryLoad()
    {
        try
        {
            EnsureLoaded();
            return true;
        }
        catch (Exception e) when (e is LibTorchException or IOException or UnauthorizedAccessException)
        {
            // TorchSharp would now search by itself and blame a package: its failure shall carry this cause.
            AssemblyLoadContext.Default.ResolvingUnmanagedDll += (_, name) => name is "LibTorchSharp" or "torch_cpu" ? throw e : 0;
            return false;
        }
    }

#pragma warning disable CA2255 // For code that reaches this library before TorchSharp; the package's initializer covers the rest.
    [ModuleInitializer]
    internal static void Initialize() => TryLoad();
#pragma warning restore CA2255
}

/// <summary>The libraries in use.</summary>
/// <param name="Folder">Folder that holds libtorch_cpu.</param>
/// <param name="TorchSharpLibrary">Path of TorchSharp's native library, or of its patched copy.</param>
/// <param name="Patched">Whether a copy with a weakened version requirement is in use (older libstdc++).</param>
/// <param name="HasCuda">Whether libtorch_cuda was loaded.</param>
/// <param name="Source">Why this folder: the environment variable, or the application's packages.</param>
public sealed record LibTorchInfo(string Folder, string TorchSharpLibrary, bool Patched, bool HasCuda, string Source);

/// <summary>libtorch is missing or cannot be loaded; the message says what to do.</summary>
public sealed class LibTorchException : Exception
{
    /// <summary>Creates the exception.</summary>
    public LibTorchException() { }

    /// <summary>Creates the exception with a message.</summary>
    public LibTorchException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public LibTorchException(string message, Exception innerException) : base(message, innerException) { }
}
