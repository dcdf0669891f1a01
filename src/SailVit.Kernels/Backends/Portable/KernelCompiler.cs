using System.Globalization;
using System.Reflection;
using ILGPU;
using ILGPU.Backends;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.OpenCL;
using ILGPU.Runtime.OpenCL;

namespace SailVit.Kernels.Backends.Portable;

/// <summary>From C# to a backend's language, by ILGPU.</summary>
internal static class KernelCompiler
{
    /// <summary>Names the compiler in the keys of compiled kernels.</summary>
    public static string Version { get; } = string.Create(CultureInfo.InvariantCulture, $"ILGPU {typeof(Context).Assembly.GetName().Version}");

    /// <summary>OpenCL C as ILGPU writes it, before it is corrected, and the name of its entry.</summary>
    /// <remarks>A new context each time: one that failed once gives wrong results later (reference: ILGPU 1.5.3).</remarks>
    public static (string Source, string Entry) ToOpenCl(PortableKernel kernel)
    {
        using var context = Context.Create(b => b.Optimize(OptimizationLevel.O2));
        // What the device really has is asked of the device: kernels use neither halves nor subgroups of ILGPU's.
        using var backend = new CLBackend(context, Capabilities(), CLDeviceVendor.Other, CLCVersion.CL20);
        var compiled = (CLCompiledKernel)backend.Compile(EntryPointDescription.FromExplicitlyGroupedKernel(kernel.Method), default);
        return (compiled.Source, compiled.Name);
    }

    // Its doubles are no doubles: see Vector16.
    private static CLCapabilityContext Capabilities() =>
        new(float16: false, float64: true, genericAddressSpace: true, int64_Atomics: false, subGroups: false);
}
