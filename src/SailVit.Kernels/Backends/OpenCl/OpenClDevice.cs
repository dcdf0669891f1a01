using System.Text;
using static SailVit.Kernels.Backends.OpenCl.OpenClNative;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>An OpenCL device and what it says of itself.</summary>
public sealed unsafe class OpenClDevice
{
    internal OpenClDevice(int index, nint platform, nint handle)
    {
        Index = index;
        Platform = Text((name, size, value, needed) => clGetPlatformInfo(platform, name, size, value, needed), PlatformName);
        Handle = handle;
        Name = Text(DeviceName);
        Vendor = Text(DeviceVendor);
        Version = Text(DeviceVersion);
        DriverVersion = Text(OpenClNative.DriverVersion);
        Extensions = new(Text(OpenClNative.Extensions).Split(' ', StringSplitOptions.RemoveEmptyEntries), StringComparer.Ordinal);
        IsCpu = (Number<ulong>(DeviceType) & CpuDevice) != 0;
        VectorWidth = (int)Number<uint>(NativeVectorWidth);
        ComputeUnits = (int)Number<uint>(OpenClNative.ComputeUnits);
        GlobalMemory = (long)Number<ulong>(OpenClNative.GlobalMemory);
        MaxAllocation = (long)Number<ulong>(OpenClNative.MaxAllocation);
        LocalMemory = (long)Number<ulong>(OpenClNative.LocalMemory);
        MaxGroupSize = (long)Number<nuint>(OpenClNative.MaxGroupSize);
        SharesMemory = Number<uint>(HostUnifiedMemory) != 0;
        IsUsable = Number<uint>(Available) != 0 && Number<uint>(CompilerAvailable) != 0;
    }

    /// <summary>Its place in <see cref="OpenClDevices.All"/>.</summary>
    public int Index { get; }

    /// <summary>The driver's platform, such as "Portable Computing Language".</summary>
    public string Platform { get; }

    /// <summary>The device's name.</summary>
    public string Name { get; }

    /// <summary>Who made it.</summary>
    public string Vendor { get; }

    /// <summary>"OpenCL 3.0 …", as the device says it.</summary>
    public string Version { get; }

    /// <summary>The driver's version.</summary>
    public string DriverVersion { get; }

    /// <summary>Whether it is the processor itself.</summary>
    public bool IsCpu { get; }

    /// <summary>Whether it works in the host's memory, so that nothing is copied.</summary>
    public bool SharesMemory { get; }

    /// <summary>Floats of its vectors.</summary>
    public int VectorWidth { get; }

    /// <summary>Cores or multiprocessors.</summary>
    public int ComputeUnits { get; }

    /// <summary>Bytes of device memory.</summary>
    public long GlobalMemory { get; }

    /// <summary>Largest single buffer in bytes.</summary>
    public long MaxAllocation { get; }

    /// <summary>Bytes of local memory per work-group.</summary>
    public long LocalMemory { get; }

    /// <summary>Largest work-group.</summary>
    public long MaxGroupSize { get; }

    /// <summary>Whether float64 arithmetic exists; no kernel needs it.</summary>
    public bool HasFloat64 => Extensions.Contains("cl_khr_fp64");

    /// <summary>Whether float16 arithmetic exists; kernels store float16 as 16-bit patterns and do not need it.</summary>
    public bool HasFloat16 => Extensions.Contains("cl_khr_fp16");

    /// <summary>Whether work-items of a subgroup can exchange values, by the Khronos or a vendor's extension.</summary>
    public bool HasSubgroups => Extensions.Contains("cl_khr_subgroups") || Extensions.Contains("cl_intel_subgroups");

    /// <summary>Whether it answers, and its driver compiles.</summary>
    internal bool IsUsable { get; }

    internal HashSet<string> Extensions { get; }

    internal nint Handle { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} ({Platform})";

    private string Text(uint name) => Text((what, size, value, needed) => clGetDeviceInfo(Handle, what, size, value, needed), name);

    private T Number<T>(uint name) where T : unmanaged
    {
        T value = default;
        OpenClException.Check(clGetDeviceInfo(Handle, name, (nuint)sizeof(T), &value, null), nameof(clGetDeviceInfo));
        return value;
    }

    private static string Text(Query query, uint name)
    {
        nuint length;
        OpenClException.Check(query(name, 0, null, &length), "clGetDeviceInfo");
        var bytes = new byte[(int)length];
        fixed (byte* p = bytes)
        {
            OpenClException.Check(query(name, length, p, null), "clGetDeviceInfo");
        }
        return Encoding.UTF8.GetString(bytes).TrimEnd('\0').Trim();
    }

    private delegate int Query(uint name, nuint size, void* value, nuint* needed);
}
