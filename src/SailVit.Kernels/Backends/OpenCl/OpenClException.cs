namespace SailVit.Kernels.Backends.OpenCl;

/// <summary>An OpenCL call failed; the message names the call, the error and what to do.</summary>
public sealed class OpenClException : Exception
{
    /// <summary>Creates the exception.</summary>
    public OpenClException() { }

    /// <summary>Creates the exception with a message.</summary>
    public OpenClException(string message) : base(message) { }

    /// <summary>Creates the exception with a message and its cause.</summary>
    public OpenClException(string message, Exception innerException) : base(message, innerException) { }

    internal static void Check(int status, string call)
    {
        if (status != 0)
        {
            throw new OpenClException($"{call}: {Describe(status)}");
        }
    }

    /// <summary>The error's name in cl.h, and what to do about those that a user can meet.</summary>
    internal static string Describe(int status) => status switch
    {
        -1 => "CL_DEVICE_NOT_FOUND. No device of this platform answers.",
        -2 => "CL_DEVICE_NOT_AVAILABLE. The device is in use or has been lost; restart the process, or choose another device.",
        -3 => "CL_COMPILER_NOT_AVAILABLE. The driver has no compiler; install the full driver.",
        -4 => "CL_MEM_OBJECT_ALLOCATION_FAILURE. The device is out of memory; use smaller batches.",
        -5 => "CL_OUT_OF_RESOURCES. The device ran out of memory or was reset; use smaller batches.",
        -6 => "CL_OUT_OF_HOST_MEMORY. Use smaller batches.",
        -11 => "CL_BUILD_PROGRAM_FAILURE. The driver's compiler refuses a kernel.",
        -12 => "CL_MAP_FAILURE. The driver cannot bring a buffer back to the host.",
        -14 => "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST. An earlier kernel failed, or the device has been lost.",
        -30 => "CL_INVALID_VALUE.",
        -33 => "CL_INVALID_DEVICE.",
        -34 => "CL_INVALID_CONTEXT.",
        -36 => "CL_INVALID_COMMAND_QUEUE. The device has been lost; restart the process.",
        -37 => "CL_INVALID_HOST_PTR.",
        -38 => "CL_INVALID_MEM_OBJECT.",
        -42 => "CL_INVALID_BINARY.",
        -43 => "CL_INVALID_BUILD_OPTIONS.",
        -44 => "CL_INVALID_PROGRAM.",
        -45 => "CL_INVALID_PROGRAM_EXECUTABLE.",
        -46 => "CL_INVALID_KERNEL_NAME.",
        -47 => "CL_INVALID_KERNEL_DEFINITION.",
        -48 => "CL_INVALID_KERNEL.",
        -49 => "CL_INVALID_ARG_INDEX.",
        -50 => "CL_INVALID_ARG_VALUE.",
        -51 => "CL_INVALID_ARG_SIZE.",
        -52 => "CL_INVALID_KERNEL_ARGS.",
        -54 => "CL_INVALID_WORK_GROUP_SIZE.",
        -55 => "CL_INVALID_WORK_ITEM_SIZE.",
        -61 => "CL_INVALID_BUFFER_SIZE. A tensor is larger than the device can allocate at once; use smaller batches.",
        -63 => "CL_INVALID_GLOBAL_WORK_SIZE.",
        -1001 => "CL_PLATFORM_NOT_FOUND_KHR. The loader finds no driver (ICD); install one, such as pocl-opencl-icd, intel-opencl-icd or the vendor's.",
        _ => $"error {status} (see cl.h).",
    };
}
