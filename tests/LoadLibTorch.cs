using System.Runtime.CompilerServices;
using SailVit.Kernels.Interop;

namespace SailVit.Testing;

/// <summary>What SailVit.Kernels.targets adds to applications, except that a process that only describes its tests loads nothing.</summary>
/// <remarks>`dotnet test` first asks each test executable for its description and waits one second for its end; then xunit.v3 3.2
/// writes a warning into the description and the run fails (xunit issue 3576). Unloading libtorch can take that long on a
/// busy machine.</remarks>
internal static class LoadLibTorch
{
#pragma warning disable CA2255 // Before TorchSharp's static constructor.
    [ModuleInitializer]
    internal static void Initialize()
    {
        if (!Environment.GetCommandLineArgs().Contains("-assemblyInfo"))
        {
            Load();
        }
    }

    // A method of its own: to compile a call into SailVit.Kernels is to run that library's module initializer.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Load() => LibTorch.TryLoad();
#pragma warning restore CA2255
}
