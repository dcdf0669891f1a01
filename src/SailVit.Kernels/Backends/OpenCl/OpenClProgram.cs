using System.Text;
using SailVit.Kernels.Backends.Portable;
using static SailVit.Kernels.Backends.OpenCl.OpenClNative;

namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>A kernel built for one device.</summary>
/// <param name="Kernel">cl_kernel; its arguments are shared by all threads, so that a launch holds the device's lock.</param>
internal sealed record OpenClProgram(nint Kernel)
{
    // Without warnings, which PoCL counts on standard error.
    private const string Options = "-cl-std=CL1.2 -w";

    /// <summary>From the cache on disk, or compiled and put there.</summary>
    public static OpenClProgram Build(PortableKernel kernel, OpenClDevice device, nint context)
    {
        if (kernel.GroupSize > device.MaxGroupSize)
        {
            throw new OpenClException($"{device} runs work-groups of at most {device.MaxGroupSize}; {kernel.Name} needs {kernel.GroupSize}. Choose another device with {OpenClDevices.DeviceVariable}.");
        }
        var cache = OpenClCache.For(kernel, device);
        if (cache.Read() is { } entry && TryLoad(entry.Binary, entry.Name, device, context) is { } cached)
        {
            return cached;
        }
        var (source, name) = KernelCompiler.ToOpenCl(kernel);
        nint program = Compile(OpenClSource.Correct(source, kernel), kernel, device, context);
        try
        {
            cache.Write(name, Binary(program));
            return Create(program, name);
        }
        finally
        {
            // The kernel keeps what it needs.
            _ = clReleaseProgram(program);
        }
    }

    private static unsafe nint Compile(string source, PortableKernel kernel, OpenClDevice device, nint context)
    {
        int status;
        nint program;
        fixed (byte* text = Encoding.UTF8.GetBytes(source + '\0'))
        {
            byte* line = text;
            program = clCreateProgramWithSource(context, 1, &line, null, &status);
        }
        OpenClException.Check(status, nameof(clCreateProgramWithSource));
        status = Build(program, device);
        if (status != 0)
        {
            var log = Log(program, device);
            _ = clReleaseProgram(program);
            throw new OpenClException($"{device} cannot build {kernel.Name}: {OpenClException.Describe(status)} Its log:\n{log}");
        }
        return program;
    }

    private static unsafe OpenClProgram? TryLoad(byte[] binary, string name, OpenClDevice device, nint context)
    {
        nint handle = device.Handle;
        var length = (nuint)binary.Length;
        int status, binaryStatus;
        nint program;
        fixed (byte* p = binary)
        {
            byte* first = p;
            program = clCreateProgramWithBinary(context, 1, &handle, &length, &first, &binaryStatus, &status);
        }
        if (status != 0)
        {
            return null;
        }
        try
        {
            // Another driver of the same name and version may refuse it: compiled anew then.
            return Build(program, device) == 0 ? Create(program, name) : null;
        }
        finally
        {
            _ = clReleaseProgram(program);
        }
    }

    private static unsafe int Build(nint program, OpenClDevice device)
    {
        nint handle = device.Handle;
        fixed (byte* options = Encoding.UTF8.GetBytes(Options + '\0'))
        {
            return clBuildProgram(program, 1, &handle, options, 0, 0);
        }
    }

    private static unsafe OpenClProgram Create(nint program, string name)
    {
        int status;
        nint kernel;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
        {
            kernel = clCreateKernel(program, text, &status);
        }
        OpenClException.Check(status, nameof(clCreateKernel));
        return new(kernel);
    }

    private static unsafe string Log(nint program, OpenClDevice device)
    {
        nuint length;
        if (clGetProgramBuildInfo(program, device.Handle, BuildLog, 0, null, &length) != 0)
        {
            return "(no log)";
        }
        var bytes = new byte[(int)length];
        fixed (byte* p = bytes)
        {
            _ = clGetProgramBuildInfo(program, device.Handle, BuildLog, length, p, null);
        }
        return Encoding.UTF8.GetString(bytes).TrimEnd('\0');
    }

    private static unsafe byte[] Binary(nint program)
    {
        nuint length;
        OpenClException.Check(clGetProgramInfo(program, ProgramBinarySizes, (nuint)sizeof(nuint), &length, null), nameof(clGetProgramInfo));
        var bytes = new byte[(int)length];
        fixed (byte* p = bytes)
        {
            byte* first = p;
            OpenClException.Check(clGetProgramInfo(program, ProgramBinaries, (nuint)sizeof(byte*), &first, null), nameof(clGetProgramInfo));
        }
        return bytes;
    }
}
