using System.Reflection;
using System.Runtime.InteropServices;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>The functions of OpenCL that are called here (Khronos, OpenCL 3.0 API, cl.h), and its numbers.</summary>
/// <remarks>Handles are pointers; a status other than 0 is an error, named by <see cref="OpenClException"/>.</remarks>
internal static unsafe class OpenClNative
{
    private const string Library = "OpenCL";

    // ILGPU and Debian do not agree on the name: only the numbered one is installed without development packages.
    private static readonly string[] Names =
        OperatingSystem.IsWindows() ? ["OpenCL.dll"]
        : OperatingSystem.IsMacOS() ? ["/System/Library/Frameworks/OpenCL.framework/OpenCL"]
        : ["libOpenCL.so.1", "libOpenCL.so"];

    private static readonly Lazy<nint> Loaded = new(() => Array.Find(Array.ConvertAll(Names, n => NativeLibrary.TryLoad(n, out nint h) ? h : 0), h => h != 0));

    static OpenClNative() => NativeLibrary.SetDllImportResolver(Assembly.GetExecutingAssembly(), (name, _, _) => name == Library ? Loaded.Value : 0);

    /// <summary>Whether the system has an OpenCL loader.</summary>
    public static bool IsPresent => Loaded.Value != 0;

    public const ulong AllDevices = 0xFFFFFFFF, CpuDevice = 1 << 1;

    public const ulong ReadWrite = 1 << 0, ReadOnly = 1 << 2, UseHostPointer = 1 << 3;

    public const uint Blocking = 1;

    public const ulong MapRead = 1 << 0;

    public const uint
        PlatformName = 0x0902,
        DeviceType = 0x1000, ComputeUnits = 0x1002, MaxGroupSize = 0x1004, MaxAllocation = 0x1010,
        GlobalMemory = 0x101F, LocalMemory = 0x1023, Available = 0x1027, CompilerAvailable = 0x1028, DeviceName = 0x102B, DeviceVendor = 0x102C,
        DriverVersion = 0x102D, DeviceVersion = 0x102F, Extensions = 0x1030, HostUnifiedMemory = 0x1035, NativeVectorWidth = 0x103A,
        ProgramBinarySizes = 0x1165, ProgramBinaries = 0x1166, BuildLog = 0x1183;

    [DllImport(Library)] public static extern int clGetPlatformIDs(uint count, nint* platforms, uint* found);
    [DllImport(Library)] public static extern int clGetPlatformInfo(nint platform, uint name, nuint size, void* value, nuint* needed);
    [DllImport(Library)] public static extern int clGetDeviceIDs(nint platform, ulong type, uint count, nint* devices, uint* found);
    [DllImport(Library)] public static extern int clGetDeviceInfo(nint device, uint name, nuint size, void* value, nuint* needed);

    [DllImport(Library)] public static extern nint clCreateContext(nint* properties, uint count, nint* devices, nint notify, nint user, int* status);
    [DllImport(Library)] public static extern nint clCreateCommandQueue(nint context, nint device, ulong properties, int* status);

    [DllImport(Library)] public static extern nint clCreateProgramWithSource(nint context, uint count, byte** texts, nuint* lengths, int* status);
    [DllImport(Library)] public static extern nint clCreateProgramWithBinary(nint context, uint count, nint* devices, nuint* lengths, byte** binaries, int* binaryStatus, int* status);
    [DllImport(Library)] public static extern int clBuildProgram(nint program, uint count, nint* devices, byte* options, nint notify, nint user);
    [DllImport(Library)] public static extern int clGetProgramBuildInfo(nint program, nint device, uint name, nuint size, void* value, nuint* needed);
    [DllImport(Library)] public static extern int clGetProgramInfo(nint program, uint name, nuint size, void* value, nuint* needed);
    [DllImport(Library)] public static extern int clReleaseProgram(nint program);

    [DllImport(Library)] public static extern nint clCreateKernel(nint program, byte* name, int* status);
    [DllImport(Library)] public static extern int clSetKernelArg(nint kernel, uint index, nuint size, void* value);

    [DllImport(Library)] public static extern nint clCreateBuffer(nint context, ulong flags, nuint size, void* host, int* status);
    [DllImport(Library)] public static extern int clReleaseMemObject(nint buffer);
    [DllImport(Library)] public static extern int clEnqueueReadBuffer(nint queue, nint buffer, uint blocking, nuint offset, nuint size, void* to, uint waitCount, nint* wait, nint* done);
    [DllImport(Library)] public static extern int clEnqueueWriteBuffer(nint queue, nint buffer, uint blocking, nuint offset, nuint size, void* from, uint waitCount, nint* wait, nint* done);
    [DllImport(Library)] public static extern void* clEnqueueMapBuffer(nint queue, nint buffer, uint blocking, ulong flags, nuint offset, nuint size, uint waitCount, nint* wait, nint* done, int* status);
    [DllImport(Library)] public static extern int clEnqueueUnmapMemObject(nint queue, nint buffer, void* mapped, uint waitCount, nint* wait, nint* done);

    [DllImport(Library)] public static extern int clEnqueueNDRangeKernel(nint queue, nint kernel, uint dimensions, nuint* offset, nuint* global, nuint* local, uint waitCount, nint* wait, nint* done);
    [DllImport(Library)] public static extern int clFinish(nint queue);
}
