using System.Runtime.InteropServices;

namespace SailVit.Bench.Measuring;

/// <summary>Makes the C allocator keep freed memory, for both sides of a comparison alike.</summary>
/// <remarks>glibc returns large blocks to the kernel when they are freed, and the next call pays for fresh pages (11 ms
/// instead of 1.9 ms for 46 MB). In a benchmark that would measure the allocator.</remarks>
internal static partial class WarmMemory
{
    private const int TrimThreshold = -1;
    private const int MmapMax = -4;

    /// <summary>Applies to this process; does nothing where the C library is not glibc.</summary>
    public static void Keep()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }
        try
        {
            _ = mallopt(MmapMax, 0);
            _ = mallopt(TrimThreshold, int.MaxValue);
        }
        catch (EntryPointNotFoundException)
        {
            // musl has no mallopt.
        }
    }

    /// <summary>Gives what is free now back to the system, once.</summary>
    public static void Release()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }
        try
        {
            _ = malloc_trim(0);
        }
        catch (EntryPointNotFoundException)
        {
            // Not glibc.
        }
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nuint pad);

    [LibraryImport("libc")]
    private static partial int mallopt(int parameter, int value);
}
